"""Does a quality measure predict errors? Error-versus-discard characteristics (ISO/IEC 29794-1).

Faces are discarded in the order of their quality, worst first, and the errors of the pairs that remain are counted at a
fixed threshold. A measure that predicts errors makes the curve fall steeply.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.errors import OperatorError

MIN_FACES = 100
MAX_DISCARDED, _STEP = 0.2, 0.005
_BLOCK = 512
_BINS = np.linspace(-1.0, 1.0, 20_001)

MEASURES = ("quality score", "embedding length", "detection score", "sharpness", "face pixels")


@dataclass(frozen=True, slots=True)
class RatedFace:
    """A face: whose it is, its embedding (512,), and the value of each measure in `MEASURES`; higher is better."""

    person: int
    embedding: Embedding = field(repr=False)
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Errors:
    """Pairs of faces by index, (k, 2), that are decided wrongly at the threshold, and the similarities' threshold."""

    threshold: float
    false_matches: NDArray[np.int64]
    false_non_matches: NDArray[np.int64]


def evaluate_quality(faces: Sequence[RatedFace], max_fmr: float) -> dict[str, Any]:
    """Compare every face with every other one; return the curves of each measure that all faces have.

    The threshold is that of a false-match rate of `max_fmr` over all pairs. Raises `OperatorError` for too few faces.
    """
    people = np.array([face.person for face in faces], dtype=np.int64)
    if len(faces) < MIN_FACES or len(np.unique(people)) < 2 or np.bincount(people).max(initial=0) < 2:
        raise OperatorError(f"Faces were found in {len(faces)} photos; at least {MIN_FACES} of two people are needed.")
    embeddings = np.stack([face.embedding for face in faces])
    errors = _find_errors(embeddings, people, max_fmr)
    measured = [name for name in MEASURES if all(name in face.measures for face in faces)]
    return {
        "faces": len(faces),
        "people": len(np.unique(people)),
        "max_fmr": max_fmr,
        "threshold": errors.threshold,
        "measures": {
            name: _curves(np.array([face.measures[name] for face in faces]), people, errors) for name in measured
        },
    }


def _find_errors(embeddings: NDArray[np.float32], people: NDArray[np.int64], max_fmr: float) -> _Errors:
    counts = np.zeros(len(_BINS) - 1, np.int64)
    for _, similarities, is_same in _blocks(embeddings, people):
        counts += np.histogram(similarities[~is_same], _BINS)[0]
    above = np.cumsum(counts[::-1])[::-1]
    threshold = float(_BINS[int(np.argmax(above <= max_fmr * counts.sum()))])
    matches, non_matches = [], []
    for pairs, similarities, is_same in _blocks(embeddings, people):
        matches.append(pairs[~is_same & (similarities >= threshold)])
        non_matches.append(pairs[is_same & (similarities < threshold)])
    return _Errors(threshold, np.concatenate(matches), np.concatenate(non_matches))


def _blocks(
    embeddings: NDArray[np.float32], people: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield every pair of faces once: indexes (k, 2), similarities (k,), whether they are of one person (k,)."""
    for start in range(0, len(embeddings), _BLOCK):
        products = embeddings[start : start + _BLOCK] @ embeddings[start:].T
        first, second = np.triu_indices(products.shape[0], 1, products.shape[1])
        pairs = np.stack([first, second], axis=1) + start
        yield pairs, products[first, second], people[pairs[:, 0]] == people[pairs[:, 1]]


def _curves(values: NDArray[np.float64], people: NDArray[np.int64], errors: _Errors) -> dict[str, Any]:
    """The error rates after each share of the faces was discarded, and the mean of each curve relative to its start."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    rows = []
    for share in np.arange(0.0, MAX_DISCARDED + _STEP / 2, _STEP):
        discarded = round(share * len(values))
        kept = ranks >= discarded
        by_person = np.bincount(people[kept])
        genuine = int((by_person * (by_person - 1) // 2).sum())
        impostors = int(kept.sum() * (kept.sum() - 1) // 2) - genuine
        false_non_matches = int(kept[errors.false_non_matches].all(axis=1).sum())
        false_matches = int(kept[errors.false_matches].all(axis=1).sum())
        rows.append(
            {
                "discarded": round(float(share), 4),
                "fnmr": false_non_matches / max(1, genuine),
                "fmr": false_matches / max(1, impostors),
            }
        )
    return {"curve": rows, **{f"mean_{rate}_of_start": _mean_of_start(rows, rate) for rate in ("fnmr", "fmr")}}


def _mean_of_start(rows: Sequence[Mapping[str, float]], rate: str) -> float | None:
    """The area under a curve as a share of the area under its first value; 1: discarding helps nothing."""
    values = [row[rate] for row in rows]
    return float(np.trapezoid(values) / (len(values) - 1) / values[0]) if values[0] else None
