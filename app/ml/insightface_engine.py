"""The face engine on insightface and onnxruntime; the only file that imports insightface's models."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.domain import Embedding
from app.errors import ModelPackRefused
from app.ml.engine import CROP_SIDE, Crop, Detection, EngineInfo
from app.ml.image import Pixels
from app.ml.packs import ModelPack
from app.ml.providers import choose_providers, session_options

# insightface calls a deprecated method of scikit-image for every alignment.
warnings.filterwarnings("ignore", message="`estimate` is deprecated", category=FutureWarning)

from insightface.model_zoo import SCRFD, ArcFaceONNX, get_model  # noqa: E402
from insightface.utils.face_align import norm_crop  # noqa: E402

# SCRFD misses faces that fill a large input, and tiny ones in a small input: one pass fitted to the picture, one small.
_SMALL_PASS = (160, 160)
_SMALL_PICTURE = 400
"""Up to this many pixels on the long side a 320 pass sees all there is; blowing it up finds fewer faces."""


class InsightFaceEngine:
    """SCRFD and ArcFace from one model pack; thread-safe, since onnxruntime's sessions are."""

    def __init__(self, pack: ModelPack, *, providers: str = "auto", detection_threshold: float = 0.5) -> None:
        chosen = choose_providers(providers)
        self._detection_threshold = detection_threshold
        self._detector: Any = _load(pack, pack.detection.path.as_posix(), chosen, SCRFD, static_shape_sessions=False)
        self._recognizer: Any = _load(pack, pack.recognition.path.as_posix(), chosen, ArcFaceONNX)
        # The library keeps the anchors of up to 100 input shapes; ours are five.
        self.info = EngineInfo(
            pack=pack.name,
            recognizer=pack.recognizer,
            embedding_size=pack.embedding_size,
            threshold=pack.threshold,
            threshold_source=pack.threshold_source,
            licence=pack.licence,
            providers=tuple(self._recognizer.session.get_providers()),
            knows_only_drawings=pack.knows_only_drawings,
        )

    def detect(self, pixels: Pixels) -> list[Detection]:
        """All faces of the picture, largest first."""
        height, width = pixels.shape[:2]
        boxes, landmarks = self._detector.detect(
            pixels, input_size=fit_input_sizes(width, height), det_thresh=self._detection_threshold
        )
        found = [
            Detection(
                (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                points.astype(np.float32),
                float(min(box[4], 1.0)),
            )
            for box, points in zip(boxes, landmarks, strict=True)
            if np.isfinite(box).all() and np.isfinite(points).all()
        ]
        return sorted(found, key=lambda detection: detection.area, reverse=True)

    def align(self, pixels: Pixels, detection: Detection) -> Crop:
        """The face in ArcFace's 112x112 frame, by the similarity transform that fits its five landmarks best."""
        crop: Crop = norm_crop(pixels, detection.landmarks, image_size=CROP_SIDE)
        return crop

    def embed(self, crops: Sequence[Crop]) -> list[Embedding]:
        """One unit-length embedding a crop; one run a face, since batching gains nothing on a CPU."""
        return [_normalize(self._recognizer.get_feat([crop])[0]) for crop in crops]


def fit_input_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """The detector's input sizes `(width, height)` for a picture: five fixed shapes in all, so memory stays flat."""
    if max(width, height) <= _SMALL_PICTURE:
        return [(320, 320), _SMALL_PASS]
    if width * 3 >= height * 4:
        return [(640, 480), _SMALL_PASS]
    if height * 3 >= width * 4:
        return [(480, 640), _SMALL_PASS]
    return [(640, 640), _SMALL_PASS]


def _load(
    pack: ModelPack, file: str, providers: list[tuple[str, dict[str, str]]], kind: type, **options: object
) -> Any:
    model = get_model(
        file,
        providers=[name for name, _ in providers],
        provider_options=[settings for _, settings in providers],
        sess_options=session_options(),
        **options,
    )
    if not isinstance(model, kind):
        raise ModelPackRefused(
            f"{file} of pack {pack.name!r} is not a network that InsightFace's {kind.__name__} runs."
        )
    return model


def _normalize(vector: np.ndarray) -> Embedding:
    values = vector.astype(np.float32).ravel()
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length < 1e-6:
        raise ModelPackRefused("The recogniser answered a vector without length or direction.")
    return values / np.float32(length)
