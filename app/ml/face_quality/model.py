"""A quality model of one recognizer: from what is measured on a face to its quality score.

A small network of one hidden layer, evaluated with numpy. It sees the crop's measurements, the detection score, the
embedding's direction, and its length before normalization, which is short for faces the recognizer finds hard (Meng et
al., MagFace, CVPR 2021).
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE, RELIABLE_FROM, Embedding
from app.ml.face_quality.features import FEATURES

INPUTS = FEATURES + 1 + EMBEDDING_SIZE + 1
"""Crop, detection score, embedding, its length."""

_POINTS_PER_UNIT = 8.0
"""Score points per unit of the network's output (log odds)."""


@dataclass(frozen=True, slots=True)
class QualityModel:
    """Weights: `mean` and `scale` (INPUTS,), `hidden` (INPUTS, h), `hidden_bias` (h,), `output` (h,), `cutoff`."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    output: NDArray[np.float32]
    cutoff: float
    """The output below which a face is not trusted."""
    source: str
    """Which photos the model was fitted to, and what it refuses of them."""

    def score(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The quality scores, 0 to 100, of (n, INPUTS) faces."""
        points = RELIABLE_FROM + _POINTS_PER_UNIT * (self.evaluate(inputs) - self.cutoff)
        return np.asarray(np.clip(points, 0.0, 100.0), dtype=np.float32)

    def evaluate(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output: the log odds that a face is undamaged."""
        hidden = np.tanh(((inputs - self.mean) * self.scale) @ self.hidden + self.hidden_bias)
        return np.asarray(hidden @ self.output, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """The model as an .npz file; weights in half precision."""
        file = BytesIO()
        np.savez_compressed(
            file,
            mean=self.mean,
            scale=self.scale,
            hidden=self.hidden.astype(np.float16),
            hidden_bias=self.hidden_bias,
            output=self.output,
            cutoff=np.float64(self.cutoff),
            source=np.array(self.source),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an .npz file; raises `ValueError` for anything else, and executes nothing in it."""
        try:
            with np.load(BytesIO(data), allow_pickle=False) as file:
                model = cls(
                    file["mean"].astype(np.float32),
                    file["scale"].astype(np.float32),
                    file["hidden"].astype(np.float32),
                    file["hidden_bias"].astype(np.float32),
                    file["output"].astype(np.float32),
                    float(file["cutoff"]),
                    str(file["source"]),
                )
        except (OSError, KeyError, EOFError, ValueError, BadZipFile) as exc:
            raise ValueError("not a quality model") from exc
        size = model.hidden.shape[-1]
        shapes = (model.mean.shape, model.scale.shape, model.hidden.shape, model.hidden_bias.shape, model.output.shape)
        if shapes != ((INPUTS,), (INPUTS,), (INPUTS, size), (size,), (size,)):
            raise ValueError(f"a quality model for {model.mean.size} inputs; this version measures {INPUTS}")
        return model


def assemble_inputs(
    crop_features: NDArray[np.float32], detection_score: float, embedding: Embedding, embedding_length: float
) -> NDArray[np.float32]:
    """One face's inputs, (INPUTS,) float32, in the order that every model expects."""
    return np.concatenate([crop_features, [detection_score], embedding, [embedding_length]], dtype=np.float32)
