"""Model packs: where they are found, what they say of themselves, and whether their files are what they should be.

A pack is a directory in InsightFace's layout: one detection and one recognition network as ONNX files, others ignored.
It may carry a `pack.json` (see `PackManifest`); published packs are known without one (`published.py`). `+mirror` after
a pack's name asks for its recognizer with every face looked at twice, as it is and mirrored: another recognizer.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import onnx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.domain.decisions import Calibration
from app.domain.faces import EMBEDDING_SIZE
from app.errors import ModelPackRefused, ModelPackUnavailable
from app.ml.calibration import find_calibration
from app.ml.digests import DigestBook, sha256_of
from app.ml.published import PUBLISHED, RESEARCH_LICENSE, PublishedPack
from app.settings import Settings

SYNTHETIC = "synthetic"
MIRROR = "+mirror"
CAUTIOUS_THRESHOLD = 0.45
"""For a recognizer nobody told us about: on the safe side for every ArcFace model we know."""

_MANIFEST = "pack.json"
_REACH_TIMEOUT_S = 10


class ManifestCalibration(BaseModel):
    """How similar strangers are to one another, where the pack's maker measured it."""

    model_config = ConfigDict(extra="forbid")

    cosines: dict[float, float] = Field(min_length=2)
    """By false-match rate, as `{"1e-3": 0.32, "1e-5": 0.46}`: the rarer, the more similar."""
    source: str
    intervals: dict[float, tuple[float, float]] = Field(default_factory=dict)
    """Of each rate, 95%: as `{"1e-3": [8e-4, 1.2e-3]}`. Rates rarer than all of `cosines` are extrapolated."""

    @model_validator(mode="after")
    def _must_rise(self) -> Self:
        points = self.points()
        if not all(0 < rate < 1 and -1 < cosine < 1 for rate, cosine in points):
            raise ValueError("rates lie between 0 and 1, cosines between -1 and 1")
        if any(later[1] <= sooner[1] for sooner, later in pairwise(points)):
            raise ValueError("a rarer false match needs a greater cosine")
        if self.intervals and self.intervals.keys() != self.cosines.keys():
            raise ValueError("intervals, where there are any, are of the rates of the cosines")
        return self

    def points(self) -> tuple[tuple[float, float], ...]:
        """The pairs, the most frequent first."""
        return tuple(sorted(self.cosines.items(), reverse=True))

    def as_calibration(self) -> Calibration:
        """The domain's value."""
        intervals = tuple(self.intervals[rate] for rate, _ in self.points()) if self.intervals else ()
        return Calibration(self.points(), self.source, intervals)

    @classmethod
    def of(cls, calibration: Calibration) -> Self:
        """To be written."""
        rates = [rate for rate, _ in calibration.points]
        intervals = dict(zip(rates, calibration.intervals, strict=True)) if calibration.intervals else {}
        return cls(cosines=dict(calibration.points), source=calibration.source, intervals=intervals)


class PackManifest(BaseModel):
    """`pack.json`: what a pack says of itself."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    version: str = "1"
    license: str
    embedding_size: int = EMBEDDING_SIZE
    threshold: float = Field(ge=-1, le=1)
    threshold_source: str = "pack.json"
    detection: str
    recognition: str
    knows_only_drawings: bool = False
    calibration: ManifestCalibration | None = None
    calibration_mirrored: ManifestCalibration | None = None
    """Of the recognizer that looks twice."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One network of a pack, with the digest of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelPack:
    """A pack ready to be loaded, its files verified."""

    name: str
    version: str
    license: str
    embedding_size: int
    threshold: float
    threshold_source: str
    detection: ModelFile
    recognition: ModelFile
    calibration: Calibration
    knows_only_drawings: bool = False
    is_mirrored: bool = False
    """Whether an embedding is the sum of the face's and of its mirror image's."""

    @property
    def recognizer(self) -> str:
        """Identity of the recognizer, stored with every template."""
        stem, digest = self.recognition.path.stem, self.recognition.sha256
        if self.is_mirrored:
            stem, digest = f"{stem}_mirrored", hashlib.sha256(f"{digest}{MIRROR}".encode()).hexdigest()
        return f"{stem}:{digest[:16]}"

    @property
    def digest(self) -> str:
        """Identity of the pack: both networks' digests, shortened."""
        return f"{self.detection.sha256[:16]}-{self.recognition.sha256[:16]}"


class PackLibrary:
    """Finds packs: a directory, the cache, InsightFace's own download, or the synthetic pack made here."""

    def __init__(self, *, cache: Path, data_dir: Path) -> None:
        self._cache = cache.expanduser() / "models"
        self._data_dir = data_dir
        self._book = DigestBook(data_dir / "model-digests.json")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The library that the settings name."""
        return cls(cache=settings.model_cache, data_dir=settings.resolved_data_dir)

    def find(self, wanted: str, *, may_download: bool = True) -> ModelPack:
        """The pack called `wanted`, verified.

        Raises `ModelPackUnavailable` if it is nowhere to be had, `ModelPackRefused` if its files are wrong.
        """
        if wanted.endswith(MIRROR):
            name = wanted.removesuffix(MIRROR)
            if not name or name.endswith(MIRROR):
                raise ModelPackUnavailable(f"{wanted!r} names no pack.")
            return _mirrored(self.find(name, may_download=may_download))
        directory = Path(wanted).expanduser()
        if directory.is_dir():
            return self._open(directory.resolve(), PUBLISHED.get(directory.name))
        if wanted == SYNTHETIC:
            return self._open(self._synthetic(), None)
        if os.sep in wanted:
            raise ModelPackUnavailable(f"No model pack: {wanted} is not a directory.")
        cached = self._in_cache(wanted)
        if cached is not None:
            return self._open(cached, PUBLISHED.get(wanted))
        if may_download and wanted in PUBLISHED:
            return self.install(wanted)
        raise ModelPackUnavailable(_three_ways_out(wanted, self._cache, "it is not in the cache"))

    def install(self, name: str) -> ModelPack:
        """Download a published pack with InsightFace, verify it, then move it into the cache."""
        if name.endswith(MIRROR):
            return _mirrored(self.install(name.removesuffix(MIRROR)))
        if name not in PUBLISHED:
            raise ModelPackUnavailable(f"{name!r} is not a published pack; those are: {', '.join(PUBLISHED)}.")
        # A second of imports, for downloads only.
        import requests  # noqa: PLC0415
        from insightface.utils import ensure_available  # noqa: PLC0415
        from insightface.utils.storage import model_zoo_download_url  # noqa: PLC0415

        self._cache.mkdir(parents=True, exist_ok=True)
        # A broken download must never look like a pack: fetch beside the cache, verify, then rename.
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=self._cache) as partial:
            try:
                # InsightFace downloads without a timeout: on a network that swallows packets it would hang for ever.
                requests.head(model_zoo_download_url(f"{name}.zip"), timeout=_REACH_TIMEOUT_S)
                fetched = Path(ensure_available("models", name, root=partial))
            except (OSError, RuntimeError) as exc:
                raise ModelPackUnavailable(_three_ways_out(name, self._cache, "the download failed")) from exc
            fetched = _innermost(fetched)
            self._open(fetched, PUBLISHED[name])
            target = self._cache / name
            shutil.rmtree(target, ignore_errors=True)
            os.replace(fetched, target)
        return self._open(self._cache / name, PUBLISHED[name])

    def accept(self, wanted: str) -> None:
        """Record the present digests of an unpinned pack, whatever they were before."""
        wanted = wanted.removesuffix(MIRROR)
        directory = Path(wanted).expanduser()
        directory = directory.resolve() if directory.is_dir() else self._in_cache(wanted) or directory
        for file in _networks(directory, _read_manifest(directory)):
            self._book.accept(file, sha256_of(file))

    def installed(self) -> list[str]:
        """Names of the packs in the cache."""
        if not self._cache.is_dir():
            return []
        return sorted(path.name for path in self._cache.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _in_cache(self, name: str) -> Path | None:
        directory = self._cache / name
        return _innermost(directory) if directory.is_dir() else None

    def _synthetic(self) -> Path:
        from app.ml.synthetic.pack import write_synthetic_pack  # noqa: PLC0415 - a generator, needed once

        return write_synthetic_pack(self._data_dir / "models")

    def _open(self, directory: Path, published: PublishedPack | None) -> ModelPack:
        manifest = _read_manifest(directory)
        detection, recognition = _networks(directory, manifest, published)
        files = ModelFile(detection, sha256_of(detection)), ModelFile(recognition, sha256_of(recognition))
        if published is not None:
            for file, expected in zip(files, (published.detection_sha256, published.recognition_sha256), strict=True):
                if file.sha256 != expected:
                    raise ModelPackRefused(
                        f"{file.path} is not the published {published.name}: SHA-256 is {file.sha256}, should be "
                        f"{expected}. Delete the directory and run `vultus models install {published.name}`."
                    )
        elif manifest is None or not manifest.knows_only_drawings:
            for file in files:
                self._book.check(file.path, file.sha256)
        return _describe(directory, manifest, published, *files)


def write_calibration(pack: ModelPack, calibration: Calibration) -> Path:
    """Write a measured calibration into the pack's `pack.json`, which is made if there is none; where it is."""
    directory = pack.recognition.path.parent
    manifest = _read_manifest(directory) or PackManifest(
        name=pack.name.removesuffix(MIRROR),
        version=pack.version,
        license=pack.license,
        threshold=pack.threshold,
        threshold_source=pack.threshold_source,
        detection=pack.detection.path.name,
        recognition=pack.recognition.path.name,
        knows_only_drawings=pack.knows_only_drawings,
    )
    name = "calibration_mirrored" if pack.is_mirrored else "calibration"
    renewed = manifest.model_copy(update={name: ManifestCalibration.of(calibration)})
    path, partial = directory / _MANIFEST, directory / f".{_MANIFEST}.new"
    try:
        partial.write_text(renewed.model_dump_json(indent=1, exclude_none=True) + "\n")
        os.replace(partial, path)
    except OSError as exc:
        raise ModelPackRefused(f"{path} cannot be written: {exc.strerror}.") from exc
    return path


def _describe(
    directory: Path,
    manifest: PackManifest | None,
    published: PublishedPack | None,
    detection: ModelFile,
    recognition: ModelFile,
) -> ModelPack:
    if manifest is not None:
        return ModelPack(
            manifest.name,
            manifest.version,
            manifest.license,
            manifest.embedding_size,
            manifest.threshold,
            manifest.threshold_source,
            detection,
            recognition,
            _calibration_of(manifest, recognition),
            manifest.knows_only_drawings,
        )
    if published is not None:
        return ModelPack(
            published.name,
            "model-zoo",
            RESEARCH_LICENSE,
            EMBEDDING_SIZE,
            published.threshold,
            "built in, cautious, not calibrated",
            detection,
            recognition,
            find_calibration(recognition.sha256, published.threshold, knows_only_drawings=False),
        )
    return ModelPack(
        directory.name,
        "unknown",
        "unknown; ask whoever gave you these weights",
        EMBEDDING_SIZE,
        CAUTIOUS_THRESHOLD,
        "cautious default: the pack has no pack.json",
        detection,
        recognition,
        find_calibration(recognition.sha256, CAUTIOUS_THRESHOLD, knows_only_drawings=False),
    )


def _mirrored(pack: ModelPack) -> ModelPack:
    """The same pack, its recognizer looking twice."""
    manifest = _read_manifest(pack.recognition.path.parent)
    own = manifest.calibration_mirrored if manifest is not None else None
    calibration = (
        own.as_calibration()
        if own is not None
        else find_calibration(
            pack.recognition.sha256 + MIRROR, pack.threshold, knows_only_drawings=pack.knows_only_drawings
        )
    )
    return replace(pack, name=pack.name + MIRROR, calibration=calibration, is_mirrored=True)


def _calibration_of(manifest: PackManifest, recognition: ModelFile) -> Calibration:
    own = manifest.calibration
    if own is not None:
        return own.as_calibration()
    return find_calibration(recognition.sha256, manifest.threshold, knows_only_drawings=manifest.knows_only_drawings)


def _read_manifest(directory: Path) -> PackManifest | None:
    path = directory / _MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = PackManifest.model_validate_json(path.read_text())
    except (ValidationError, UnicodeDecodeError) as exc:
        raise ModelPackRefused(f"{path} is not a valid pack manifest: {exc}") from exc
    if manifest.embedding_size != EMBEDDING_SIZE:
        raise ModelPackRefused(
            f"{path}: embedding_size is {manifest.embedding_size}; the schema holds {EMBEDDING_SIZE}."
        )
    return manifest


def _networks(
    directory: Path, manifest: PackManifest | None, published: PublishedPack | None = None
) -> tuple[Path, Path]:
    """The detection and the recognition file: as named, else told apart by the shapes of inputs and outputs."""
    named = manifest or published
    if named is not None:
        files = directory / named.detection, directory / named.recognition
        for file in files:
            if file.parent != directory or not file.is_file():
                raise ModelPackRefused(f"{directory} lacks {file.name}.")
        return files
    detection = recognition = None
    for path in sorted(directory.glob("*.onnx")):
        kind = _kind_of(path)
        if kind == "detection":
            detection = detection or path
        elif kind == "recognition":
            recognition = recognition or path
    if detection is None or recognition is None:
        missing = "detection" if detection is None else "recognition"
        raise ModelPackRefused(f"{directory} holds no {missing} network (*.onnx in InsightFace's layout).")
    return detection, recognition


def _kind_of(path: Path) -> str | None:
    try:
        graph = onnx.load_model(str(path), load_external_data=False).graph
    except Exception as exc:  # protobuf's DecodeError has no public home
        raise ModelPackRefused(f"{path} is not an ONNX file.") from exc
    shape = [dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim]
    if len(graph.output) == 9:  # SCRFD with key points
        return "detection"
    if len(graph.output) == 1 and shape[2:] == [112, 112]:
        size = [dimension.dim_value for dimension in graph.output[0].type.tensor_type.shape.dim]
        if size[-1:] not in ([EMBEDDING_SIZE], [0]):
            raise ModelPackRefused(f"{path} makes embeddings of {size[-1]} numbers; the schema holds {EMBEDDING_SIZE}.")
        return "recognition"
    return None


def _innermost(directory: Path) -> Path:
    """Some published archives hold a directory of their own name inside."""
    inner = directory / directory.name
    return inner if inner.is_dir() and not any(directory.glob("*.onnx")) else directory


def _three_ways_out(name: str, cache: Path, reason: str) -> str:
    return (
        f"No model pack: {name!r} was asked for, but {reason}. Three ways out:\n"
        f"  1. VULTUS_MODEL_PACK=/path/to/pack   a directory with InsightFace's ONNX files;\n"
        f"  2. vultus models install {name}   where there is a network, then copy {cache / name} here;\n"
        f"  3. VULTUS_MODEL_PACK=synthetic   made on the spot, but knows only drawn faces: for trying things out."
    )
