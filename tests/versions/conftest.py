"""Fixtures of the version tests."""

from versions.rollout import shop

__all__ = ["shop"]
