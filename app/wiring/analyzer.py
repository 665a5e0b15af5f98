"""Build the face analyzer of a process from its settings; importing this module loads the inference libraries."""

import os

from app.ml.analysis import FaceAnalyzer
from app.ml.image import ImageLimits
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.memory import steady_memory
from app.ml.packs.library import PackLibrary
from app.ml.quality import QualityLimits
from app.ml.sessions import Runtime
from app.settings import Settings


def build_analyzer(settings: Settings) -> FaceAnalyzer:
    """Load the model packs and apply the limits of the settings; takes 1 to 2 s, longer if a pack is downloaded."""
    steady_memory()
    library = PackLibrary.from_settings(settings)
    pack, *others = (library.find(name) for name in (settings.model_pack, *settings.extra_model_packs))
    runtime = Runtime(
        providers=settings.providers,
        threads=count_inference_threads(settings),
        cache=settings.resolved_data_dir / "graphs",
    )
    engine = InsightFaceEngine(pack, runtime, others=others, detection_threshold=settings.detection_threshold)
    return FaceAnalyzer(
        engine,
        ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
        QualityLimits(
            min_face_pixels=settings.min_face_pixels,
            min_sharpness=settings.min_sharpness,
            min_brightness=settings.min_brightness,
            max_brightness=settings.max_brightness,
            max_yaw_deg=settings.max_yaw_deg,
            max_pitch_deg=settings.max_pitch_deg,
            min_visible_share=settings.min_visible_share,
        ),
        max_faces=settings.max_faces_per_image,
    )


def count_inference_threads(settings: Settings) -> int:
    """Return the number of concurrent inferences in this process: the setting, or one per core."""
    return settings.inference_threads or os.cpu_count() or 1
