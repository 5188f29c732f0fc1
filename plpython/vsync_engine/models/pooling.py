"""From one vector a token to one vector a text: pooling as sentence-transformers does it, and scaling to length one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsync_engine.models.runtime import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN = "mean"
CLS = "cls"
MAX = "max"
LAST = "lasttoken"
MEAN_SQRT = "mean_sqrt_len"
WEIGHTED = "weightedmean"
NONE = "none"
POOLINGS = (MEAN, CLS, MAX, LAST, MEAN_SQRT, WEIGHTED, NONE)


def pool(hidden: NDArray[np.float32], mask: NDArray[np.int64], pooling: str) -> NDArray[np.float32]:
    """Pool token vectors (n, tokens, d) to text vectors (n, d); mask (n, tokens) is 1 for a token and 0 for padding.

    With pooling "none" the model has pooled already and (n, d) passes through. A text without tokens gets zeros.
    """
    if pooling == NONE:
        return hidden
    if pooling == CLS:
        return np.ascontiguousarray(hidden[:, 0, :])
    if pooling == MAX:
        highest = np.where(mask[:, :, None] > 0, hidden, np.float32(-np.inf)).max(axis=1)
        return np.where(mask.max(axis=1, keepdims=True) > 0, highest, np.float32(0))
    if pooling == LAST:
        last = np.maximum(mask.shape[1] - 1 - np.argmax(mask[:, ::-1] > 0, axis=1), 0)
        return np.ascontiguousarray(hidden[np.arange(len(hidden)), last]) * (mask.max(axis=1, keepdims=True) > 0)
    if pooling == WEIGHTED:
        mask = mask * np.cumsum(mask, axis=1)  # the first token counts once, the second twice
    weights = mask.astype(np.float32)
    counts = np.maximum(weights.sum(axis=1), np.float32(1))
    if pooling == MEAN_SQRT:
        counts = np.sqrt(counts)
    return np.einsum("ntd,nt->nd", hidden, weights) / counts[:, None]


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of (n, d) to Euclidean length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12))
