"""Fit a recognizer of drawn faces in closed form: linear discriminants on a coarse, gain-normalized crop.

Input and output are those of InsightFace's ArcFace models: an aligned 112x112 RGB crop, `(x - 127.5) / 127.5`,
NCHW -> (N, 512). The crop is averaged into 14x14 cells, and each color is divided by its mean. Fisher's discriminants,
the directions that separate people after whitening the variation within a person, represent the identity. An
orthonormal matrix spreads them over 512 numbers without changing any cosine.
"""

import cv2
import numpy as np

from app.ml.synthetic.graph import GraphBuilder
from app.ml.synthetic.portraits import ARCFACE_FRAME, Person, Placement, Variation, draw_group

EMBEDDING_SIZE = 512
_CROP = 112
_CELL = 8
_FEATURES = 3 * (_CROP // _CELL) ** 2
_DISCRIMINANTS = 48
_RIDGE = 0.05  # share of the mean within-person variance; without it, directions seen in few pictures dominate


def build_recognizer(*, people: int = 300, pictures: int = 5, seed: int = 11) -> bytes:
    """Fit the model to people that the demo and the tests never use: seeds from 100,000 on."""
    features, identities = _training_set(people, pictures, np.random.default_rng(seed))
    mean, matrix = _discriminants(features, identities)
    spread = _orthonormal_rows(matrix.shape[1], EMBEDDING_SIZE, np.random.default_rng(seed + 1))
    graph = GraphBuilder()
    pixels = graph.node("Div", graph.node("Add", "input", 1.0), 2.0)
    cells = graph.node("AveragePool", pixels, kernel_shape=[_CELL, _CELL], strides=[_CELL, _CELL])
    gain = graph.node("Add", graph.node("ReduceMean", cells, axes=[2, 3], keepdims=1), 1e-3)
    flat = graph.node("Flatten", graph.node("Div", cells, gain), axis=1)
    centered = graph.node("Sub", flat, graph.constant(mean[None]))
    graph.node("MatMul", centered, graph.constant(matrix @ spread), name="embedding")
    return graph.build({"input": ["batch", 3, _CROP, _CROP]}, {"embedding": ["batch", EMBEDDING_SIZE]})


def _training_set(people: int, pictures: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return features (people * pictures, 588) and each row's person; crops have the misalignment of a detector."""
    features = np.empty((people * pictures, _FEATURES))
    for row in range(len(features)):
        crop = _draw_crop(Person(100_000 + row // pictures), rng)
        cells = crop.reshape(14, _CELL, 14, _CELL, 3).mean(axis=(1, 3)) / 255
        features[row] = (cells / (cells.mean(axis=(0, 1)) + 1e-3)).transpose(2, 0, 1).ravel()
    return features, np.repeat(np.arange(people), pictures)


def _draw_crop(person: Person, rng: np.random.Generator) -> np.ndarray:
    """Draw a face 40 to 160 pixels wide and return its aligned crop: (112, 112, 3), float64, RGB, 0..255."""
    width = float(rng.uniform(40, 160))
    side = round(width * 2)
    placed = Placement(side / 2, side / 2, width)
    picture, truth = draw_group([(person, placed, Variation.random(rng))], (side, side))
    landmarks = np.array(truth[0].landmarks) + rng.normal(0, 0.02 * width, (5, 2))
    matrix, _ = cv2.estimateAffinePartial2D(landmarks, ARCFACE_FRAME, method=cv2.LMEDS)
    crop: np.ndarray = cv2.warpAffine(np.asarray(picture), matrix, (_CROP, _CROP)).astype(np.float64)
    return crop


def _discriminants(features: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (588,) and the projection (588, 48) of Fisher's linear discriminants with a ridge."""
    centers = np.stack([features[identities == person].mean(axis=0) for person in np.unique(identities)])
    mean = centers.mean(axis=0)
    within = np.cov((features - centers[identities]).T)
    within += np.eye(len(within)) * _RIDGE * np.trace(within) / len(within)
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values)
    _, strengths, directions = np.linalg.svd((centers - mean) @ whiten, full_matrices=False)
    # Strong directions are damped, so that one trait that splits people in two cannot outvote the others.
    weights = 1 / np.sqrt(strengths[:_DISCRIMINANTS])
    return mean, whiten @ directions[:_DISCRIMINANTS].T * weights


def _orthonormal_rows(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    basis, _ = np.linalg.qr(rng.normal(size=(columns, rows)))
    return np.asarray(basis.T)
