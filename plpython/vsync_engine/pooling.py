"""From one vector a token to one vector a text: mean, cls and max pooling, and scaling to length one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsync_engine.native import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN = "mean"
CLS = "cls"
MAX = "max"
NONE = "none"
POOLINGS = (MEAN, CLS, MAX, NONE)


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
    weights = mask.astype(np.float32)
    counts = np.maximum(weights.sum(axis=1), np.float32(1))
    return np.einsum("ntd,nt->nd", hidden, weights) / counts[:, None]


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of (n, d) to Euclidean length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12))
