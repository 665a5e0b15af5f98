"""Build the face analyzer of a process from its settings; importing this module loads the inference libraries."""

import os

from app.ml.analysis import FaceAnalyzer
from app.ml.finding import FaceFinder
from app.ml.image import ImageLimits
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.local_finder import LocalFinder
from app.ml.memory import steady_memory
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import ModelPack
from app.ml.quality import QualityLimits
from app.ml.remote.client import InferenceAddress, InferenceClient
from app.ml.remote.finder import RemoteFinder
from app.ml.sessions import Runtime
from app.settings import Settings

_PHOTOS_ELSEWHERE = 32
"""Photos in flight to an inference server: twice as many as one call has, so that the next call is full."""


def build_analyzer(settings: Settings) -> FaceAnalyzer:
    """Build what finds faces: here, which loads the model packs and takes 1 to 2 s, or at the inference server."""
    finder: FaceFinder = (
        build_local_finder(settings) if settings.inference_url is None else build_remote_finder(settings)
    )
    return FaceAnalyzer(finder, _image_limits(settings), _quality_limits(settings))


def build_local_finder(settings: Settings) -> LocalFinder:
    """Load the model packs and apply the limits of the settings; takes 1 to 2 s, longer if a pack is downloaded."""
    engine = build_engine(settings)
    images, quality = _image_limits(settings), _quality_limits(settings)
    return LocalFinder(engine, images, quality, max_faces=settings.max_faces_per_image)


def build_engine(settings: Settings) -> InsightFaceEngine:
    """Load the networks of the model packs."""
    steady_memory()
    pack, *others = _find_packs(settings)
    runtime = Runtime(
        providers=settings.providers,
        threads=count_inference_threads(settings),
        cache=settings.resolved_data_dir / "graphs",
    )
    return InsightFaceEngine(pack, runtime, others=others, detection_threshold=settings.detection_threshold)


def build_remote_finder(settings: Settings) -> RemoteFinder:
    """Build what asks the inference server; the packs say what it must have, their networks are not loaded."""
    assert settings.inference_url is not None
    token = settings.inference_token
    client = InferenceClient(
        InferenceAddress(
            url=settings.inference_url,
            token=token.get_secret_value() if token is not None else None,
            ca_file=settings.inference_ca_file,
            cert_file=settings.inference_cert_file,
            key_file=settings.inference_key_file,
        ),
        timeout_s=settings.inference_timeout_s,
        max_calls=settings.inference_calls,
        probe_s=settings.inference_probe_s,
    )
    return RemoteFinder(
        client,
        _find_packs(settings),
        _image_limits(settings),
        _quality_limits(settings),
        max_faces=settings.max_faces_per_image,
        detection_threshold=settings.detection_threshold,
    )


def client_of(analyzer: FaceAnalyzer) -> InferenceClient | None:
    """Return what calls the inference server; None if the networks run in this process."""
    return analyzer.engine.client if isinstance(analyzer.engine, RemoteFinder) else None


def _find_packs(settings: Settings) -> list[ModelPack]:
    library = PackLibrary.from_settings(settings)
    return [library.find(name) for name in (settings.model_pack, *settings.extra_model_packs)]


def _image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)


def _quality_limits(settings: Settings) -> QualityLimits:
    return QualityLimits(
        min_face_pixels=settings.min_face_pixels,
        min_sharpness=settings.min_sharpness,
        min_brightness=settings.min_brightness,
        max_brightness=settings.max_brightness,
        max_yaw_deg=settings.max_yaw_deg,
        max_pitch_deg=settings.max_pitch_deg,
        min_visible_share=settings.min_visible_share,
    )


def count_inference_threads(settings: Settings) -> int:
    """Return the number of photos that this process analyzes at a time: the setting, one per core, or 32 elsewhere."""
    if settings.inference_url is not None:
        return settings.inference_threads or _PHOTOS_ELSEWHERE
    return settings.inference_threads or os.cpu_count() or 1
