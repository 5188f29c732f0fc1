"""What every test shares: the fixture plugins and how long hypothesis searches."""

import hypothesis

pytest_plugins = ["fix_cluster", "fix_models"]

_SHARED = {"deadline": None, "derandomize": False, "print_blob": True, "database": None}
hypothesis.settings.register_profile("test", max_examples=100, **_SHARED)
hypothesis.settings.register_profile("soak", max_examples=5000, **_SHARED)
hypothesis.settings.load_profile("test")
