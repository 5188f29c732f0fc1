"""Fixtures of the version tests."""

import pytest

pytest.register_assert_rewrite("versions.rollout")
from versions.rollout import shop  # noqa: E402

__all__ = ["shop"]
