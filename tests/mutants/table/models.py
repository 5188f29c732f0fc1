"""Mutations of how models are loaded."""

from tests.mutants.table.mutation import Mutation

_SHARED = "serve/test_shared_models.py::"

MODELS = (
    Mutation(
        "a copy of a model is believed whatever became of its files",
        f"{_SHARED}test_a_damaged_copy_is_made_again",
        "embed_texts",
        "from vsync_engine import entry\n",
        "from vsync_engine import entry\nfrom vsync_engine.models import files\n"
        "files.current_signature = lambda path, sha256, known: known\n",
    ),
)
