"""Find the quality model of a recognizer: in its pack's directory, or among those that come with Vultus."""

from importlib.resources import files
from pathlib import Path

from app.errors import ModelPackRefused
from app.ml.face_quality.model import QualityModel

_SHIPPED = {
    # InsightFace's small MobileFaceNet in the development pack; fitted by `vultus calibrate` to every second person of
    # LFW-dev, so that the others can test it.
    "f7fce14115a97d9a85157ba76d53dc7a39dd2341b4ebdccbcab256aa599bf980": "mobilefacenet.npz",
}
"""File by the SHA-256 of the recognition network."""


def quality_file(directory: Path, *, is_mirrored: bool) -> Path:
    """Where `vultus calibrate` puts the model of a pack's recognizer."""
    return directory / ("quality_mirrored.npz" if is_mirrored else "quality.npz")


def find_quality_model(directory: Path, recognition_sha256: str, *, is_mirrored: bool) -> QualityModel | None:
    """Return the pack's own model, else the one shipped for the recognizer, else None.

    Raises `ModelPackRefused` if the pack's own cannot be read or is not a quality model.
    """
    own = quality_file(directory, is_mirrored=is_mirrored)
    if own.is_file():
        try:
            return QualityModel.from_bytes(own.read_bytes())
        except OSError as exc:
            raise ModelPackRefused(f"{own} cannot be read: {exc.strerror}.") from exc
        except ValueError as exc:
            raise ModelPackRefused(f"{own} is {exc}; fit it again with `vultus calibrate`.") from exc
    shipped = None if is_mirrored else _SHIPPED.get(recognition_sha256)
    if shipped is None:
        return None
    return QualityModel.from_bytes((files("app.ml.face_quality") / "models" / shipped).read_bytes())
