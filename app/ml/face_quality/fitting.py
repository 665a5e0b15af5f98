"""Fit a quality model: small networks learn to tell undamaged faces from degraded ones.

The people are divided into folds. Each network learns from all folds but one; the bar is set on the faces that a
network has not seen, and the networks are averaged into one model. Everything is seeded: the same faces give the same
model on the same processor.
"""

import numpy as np
from numpy.typing import NDArray

from app.ml.face_quality.model import INPUTS, QualityModel

_FOLDS, _HIDDEN = 5, 32
_EPOCHS, _BATCH = 15, 128
_RATE, _DECAY = 2e-3, 3e-3
_FIRST_MOMENT, _SECOND_MOMENT, _TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma and Ba, 2015)."""

MAX_REFUSED = 0.01
"""The share of undamaged faces that falls below the bar."""

Network = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Hidden weights (INPUTS, h), hidden biases (h,), output weights (h,)."""


def fit_quality_model(
    faces: NDArray[np.float32],
    is_undamaged: NDArray[np.bool_],
    people: NDArray[np.int64],
    *,
    about: str,
    seed: int = 0,
) -> QualityModel:
    """Fit a model to (n, INPUTS) faces of many people, undamaged and degraded; `people` (n,) tells whose each is.

    `MAX_REFUSED` of the undamaged faces that a network has not seen fall below the bar. Takes some seconds.
    """
    mean, scale = faces.mean(axis=0), 1 / (faces.std(axis=0) + 1e-3)
    standard = (faces.astype(np.float64) - mean) * scale
    # Both classes weigh the same, however many faces each has.
    weights = np.where(is_undamaged, 0.5 / is_undamaged.sum(), 0.5 / (~is_undamaged).sum()) * len(faces)
    rng = np.random.default_rng(seed)
    folds = rng.permutation(int(people.max()) + 1)[people] % _FOLDS
    networks, unseen = list[Network](), np.zeros(len(faces))
    for fold in range(_FOLDS):
        learns = folds != fold
        network = _train(standard[learns], is_undamaged[learns].astype(np.float64), weights[learns], rng)
        unseen[~learns] = np.tanh(standard[~learns] @ network[0] + network[1]) @ network[2]
        networks.append(network)
    cutoff = float(np.quantile(unseen[is_undamaged], MAX_REFUSED))
    return QualityModel(
        mean.astype(np.float32),
        scale.astype(np.float32),
        np.concatenate([hidden for hidden, _, _ in networks], axis=1).astype(np.float32),
        np.concatenate([bias for _, bias, _ in networks]).astype(np.float32),
        np.concatenate([output / _FOLDS for _, _, output in networks]).astype(np.float32),
        cutoff,
        f"{about}; {MAX_REFUSED:.1%} of {int(is_undamaged.sum())} undamaged faces fall below the bar",
    )


def _train(
    faces: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64], rng: np.random.Generator
) -> Network:
    """Minimize the weighted logistic loss with Adam; returns hidden weights, hidden biases, output weights."""
    parameters = [
        rng.standard_normal((INPUTS, _HIDDEN)) / np.sqrt(INPUTS),
        np.zeros(_HIDDEN),
        rng.standard_normal(_HIDDEN) / np.sqrt(_HIDDEN),
    ]
    first, second = ([np.zeros_like(one) for one in parameters] for _ in range(2))
    step = 0
    for _ in range(_EPOCHS):
        for batch in np.array_split(rng.permutation(len(faces)), max(1, len(faces) // _BATCH)):
            gradients = _gradients(parameters, faces[batch], targets[batch], weights[batch])
            step += 1
            for index, gradient in enumerate(gradients):
                first[index] = _FIRST_MOMENT * first[index] + (1 - _FIRST_MOMENT) * gradient
                second[index] = _SECOND_MOMENT * second[index] + (1 - _SECOND_MOMENT) * gradient**2
                size = np.sqrt(second[index] / (1 - _SECOND_MOMENT**step)) + _TINY
                parameters[index] = parameters[index] - _RATE * first[index] / (1 - _FIRST_MOMENT**step) / size
    return parameters[0], parameters[1], parameters[2]


def _gradients(
    parameters: list[NDArray[np.float64]],
    faces: NDArray[np.float64],
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    hidden_weights, hidden_bias, output = parameters
    hidden = np.tanh(faces @ hidden_weights + hidden_bias)
    odds = np.clip(hidden @ output, -30, 30)
    error = (1 / (1 + np.exp(-odds)) - targets) * weights / len(faces)
    back = error[:, None] * output * (1 - hidden**2)
    return [faces.T @ back + _DECAY * hidden_weights, back.sum(axis=0), hidden.T @ error + _DECAY * output]
