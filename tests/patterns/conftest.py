"""Fixtures of the pattern tests."""

from versions.rollout import shop as rollout

__all__ = ["rollout"]
