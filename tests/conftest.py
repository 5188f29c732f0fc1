"""What every test shares: the fixture plugins and how long hypothesis searches."""

import os
import signal

import hypothesis
import pytest

pytest_plugins = ["fix_cluster", "fix_models"]
# whoever imports them first
pytest.register_assert_rewrite(
    "capture.steps", "chaos.battery", "chaos.rest", "races.steps", "shop", "versions.rollout"
)

# what is started in the background ignores SIGINT, and so would the commands that tests interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

# the same histories each time, so that a failure is the change's; soak looks for new ones
_SHARED = {"deadline": None, "print_blob": True, "database": None}
hypothesis.settings.register_profile("test", max_examples=100, derandomize=True, **_SHARED)
hypothesis.settings.register_profile("soak", max_examples=250, derandomize=False, **_SHARED)
hypothesis.settings.load_profile("test")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Split the histories of a soak test (HISTORIES, of each) into batches, each in a database of its own."""
    if "batch" in metafunc.fixturenames:
        histories = int(os.environ.get("HISTORIES", "5000"))
        metafunc.parametrize("batch", range(1, -(-histories // 250) + 1))
