"""Draining real texts with MiniLM, against the best bare ONNX Runtime loop over the same texts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from tests.bench.measure import Figure, database, median, real_texts
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

TEXTS = 5_000
ROUNDS = 5
BATCHES = (8, 16, 32)
DECLARE = "select vsync.create_embedding('texts_search', 'select id, body as content from texts', 'minilm')"


class Bare:
    """A model run by ONNX Runtime and nothing else."""

    def __init__(self, directory: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        self._session = ort.InferenceSession(f"{directory}/model.onnx", options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(256)
        self._session.run(None, _inputs(self._session, [[101, 102]]))

    def embed(self, texts: Sequence[str], batch: int) -> np.ndarray:
        """Return vectors of texts (n x dimensions): one sort by length, batches of a fixed count."""
        ids = [e.ids for e in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        vectors: dict[int, np.ndarray] = {}
        for i in range(0, len(order), batch):
            members = order[i : i + batch]
            inputs = _inputs(self._session, [ids[j] for j in members])
            (hidden,) = self._session.run(None, inputs)
            mask = inputs["attention_mask"][:, :, None]
            pooled = (np.asarray(hidden) * mask).sum(1) / mask.sum(1)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            vectors.update(zip(members, pooled, strict=True))
        return np.array([vectors[i] for i in range(len(ids))])


def rate(bare: Bare, texts: list[str], batch: int) -> float:
    """Return texts/s of the bare loop, tokenising included."""
    start = time.perf_counter()
    bare.embed(texts, batch)
    return len(texts) / (time.perf_counter() - start)


def _inputs(session: ort.InferenceSession, ids: list[list[int]]) -> dict[str, np.ndarray]:
    width = max(map(len, ids))
    tokens = np.zeros((len(ids), width), np.int64)
    mask = np.zeros_like(tokens)
    for row, sequence in enumerate(ids):
        tokens[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
    return {entry.name: given[entry.name] for entry in session.get_inputs()}


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure drain and bare loop alternately."""
    directory = str(catalogue.locate("minilm"))
    texts = real_texts(TEXTS)
    bare = Bare(directory)
    best = max(BATCHES, key=lambda batch: rate(bare, texts[:1000], batch))
    ratios: list[float] = []
    drained: list[float] = []
    with database(cluster, "drain") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{directory}"])
        session.execute("create table texts (id int primary key, body text)")
        with session.cursor() as cursor, cursor.copy("copy texts from stdin") as copy:
            for row in enumerate(texts):
                copy.write_row(row)
        for _ in range(ROUNDS):
            session.execute("select vsync.drop_embedding('texts_search', true)")
            session.execute(DECLARE)
            session.execute("""update vsync_internal.versions set index = '{"type": "none"}'""")
            start = time.perf_counter()
            session.execute("call vsync.work()")
            reached = TEXTS / (time.perf_counter() - start)
            drained.append(reached)
            ratios.append(reached / rate(bare, texts, best))
    yield Figure(
        "drain, texts/s ÷ bare loop",
        median(ratios),
        "ratio",
        0.90,
        0.97,
        note=f"{median(drained):.0f} texts/s of {TEXTS} real texts; bare loop in batches of {best}",
    )
