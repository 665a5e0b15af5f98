"""Describe the recognizer of a model pack, for whatever runs its networks."""

from app.ml.engine import UNKNOWN_QUALITY, EngineInfo
from app.ml.packs.pack import ModelPack


def describe_pack(
    pack: ModelPack,
    *,
    providers: tuple[str, ...],
    precision: str,
    detection_threshold: float,
    can_be_inherited: bool = False,
) -> EngineInfo:
    """Combine what the pack says of its recognizer with what runs it."""
    return EngineInfo(
        pack=pack.name,
        digest=pack.digest,
        recognizer=pack.recognizer,
        embedding_size=pack.embedding_size,
        threshold=pack.threshold,
        threshold_source=pack.threshold_source,
        calibration=pack.calibration,
        license=pack.license,
        providers=providers,
        precision=precision,
        detection_threshold=detection_threshold,
        knows_only_drawings=pack.knows_only_drawings,
        can_be_inherited=can_be_inherited,
        quality=pack.quality_model.source if pack.quality_model is not None else UNKNOWN_QUALITY,
    )
