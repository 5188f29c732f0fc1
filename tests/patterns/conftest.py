"""Fixtures of the pattern tests."""

import pytest

pytest.register_assert_rewrite("versions.rollout")
from versions.rollout import shop as rollout  # noqa: E402

__all__ = ["rollout"]
