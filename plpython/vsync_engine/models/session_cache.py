"""The models a session has loaded, and the query vectors it remembers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import orjson

from vsync_engine.models import weight_cache
from vsync_engine.models.embedder import Kind, Model
from vsync_engine.models.spec import ModelSpec
from vsync_engine.models.watchdog import watching

_MODELS = 4
_VECTORS = 256

_loaded: OrderedDict[str, Model] = OrderedDict()
_remembered: OrderedDict[tuple[str, str, Kind, str], str] = OrderedDict()


def load(spec: str, threads: int, *, share: bool = True) -> Model:
    """Return the model of a spec, loaded once a session and verified at every call; VS103 when a file changed.

    share: map a copy of its network that the sessions of the server have in common, inside a server.
    """
    model = _loaded.get(spec)
    if model is None:
        home = weight_cache.home() if share else None
        model = Model.load(ModelSpec.from_json(spec), threads=threads, home=home)
        _loaded[spec] = model
        if len(_loaded) > _MODELS:
            _loaded.popitem(last=False)
    else:
        model.verify_unchanged()
    _loaded.move_to_end(spec)
    return model


def forget() -> None:
    """Forget all vectors."""
    _remembered.clear()


def embed(
    model: Model, kind: Kind, texts: Sequence[str | None], token_budget: int, asker: str = ""
) -> list[str | None]:
    """Return each text's vector in pgvector's text form, null for null; one query's vector is remembered.

    asker: who asks. Vectors are remembered for the same asker only: a quick answer would say what another one asked.
    """
    if len(texts) == 1 and texts[0] is not None:
        remembered = (asker, model.spec.sha256, kind, texts[0])
        if remembered not in _remembered:
            with watching(None):
                _remembered[remembered] = as_text(model.embed([texts[0]], kind, token_budget)[0])
            if len(_remembered) > _VECTORS:
                _remembered.popitem(last=False)
        _remembered.move_to_end(remembered)
        return [_remembered[remembered]]
    present = [text for text in texts if text is not None]
    with watching(None):
        vectors = iter(model.embed(present, kind, token_budget))
    return [None if text is None else as_text(next(vectors)) for text in texts]


def as_text(vector: object) -> str:
    """Return a float32 vector as pgvector reads it."""
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode()
