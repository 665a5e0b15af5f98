"""Turn a directory into a `ModelPack`; finding the directory and checking pinned digests is the library's task.

A pack is a directory in InsightFace's layout: one detection and one recognition network as ONNX files, and possibly one
of age and gender; other files are ignored. A pack without a manifest gets its description from `published.py`, or
cautious defaults.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.decisions import Calibration
from app.domain.faces import EMBEDDING_SIZE
from app.errors import ModelPackRefused
from app.ml.calibration import find_calibration
from app.ml.digests import sha256_of
from app.ml.face_quality.known import find_quality_model, quality_file
from app.ml.face_quality.model import QualityModel
from app.ml.onnx_messages import read_graph
from app.ml.packs.manifest import ManifestCalibration, PackManifest, read_manifest, write_manifest
from app.ml.published import RESEARCH_LICENSE, PublishedPack

MIRROR_SUFFIX = "+mirror"
"""Ends the name of a pack whose embeddings sum the face and its mirror image (flip augmentation).

That is a recognizer of its own: its embeddings are never compared with those of the plain pack.
"""

CAUTIOUS_THRESHOLD = 0.45
"""For a recognizer without a known threshold; strict enough for every ArcFace model that we measured."""

ATTRIBUTES_SIDE, ATTRIBUTES = 96, 3
"""Input side in pixels and number of outputs of a network of age and gender."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One network of a pack; `sha256` is lower-case hex."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelPack:
    """A described pack: which files to load, and what their similarities mean."""

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
    attributes: ModelFile | None = None
    """The network of age and gender (InsightFace's `genderage`); None if the pack has none."""
    quality_model: QualityModel | None = None
    """None if nobody has fitted one for this recognizer: its faces' quality is unknown, and limits no decision."""

    @property
    def recognizer(self) -> str:
        """The recognizer's identity, stored with every template: its file's name and 16 digits of its SHA-256."""
        stem, digest = self.recognition.path.stem, self.recognition.sha256
        if self.is_mirrored:
            stem, digest = f"{stem}_mirrored", hashlib.sha256(f"{digest}{MIRROR_SUFFIX}".encode()).hexdigest()
        return f"{stem}:{digest[:16]}"

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """All networks of the pack."""
        return self.detection, self.recognition, *((self.attributes,) if self.attributes is not None else ())

    @property
    def digest(self) -> str:
        """The pack's identity: 16 digits of SHA-256 of the detection and of the recognition network."""
        return f"{self.detection.sha256[:16]}-{self.recognition.sha256[:16]}"


def read_pack(directory: Path, published: PublishedPack | None = None) -> ModelPack:
    """Read a pack from its directory and compute its files' digests, without judging them.

    The manifest decides names and threshold, else `published`, else cautious defaults. Raises `ModelPackRefused` for an
    invalid manifest or a missing or unsuitable network.
    """
    manifest = read_manifest(directory)
    named = manifest or published
    found = _locate_named(directory, named) if named is not None else _locate_by_shape(directory)
    files = _describe_file(found["detection"]), _describe_file(found["recognition"])
    if manifest is not None:
        pack = _describe_by_manifest(manifest, *files)
    elif published is not None:
        pack = _describe_published(published, *files)
    else:
        pack = _describe_unknown(directory.name, *files)
    attributes = _locate_attributes(directory, manifest, published) if named is not None else found.get("attributes")
    return replace(
        pack,
        attributes=_describe_file(attributes) if attributes is not None else None,
        quality_model=find_quality_model(directory, pack.recognition.sha256, is_mirrored=False),
    )


def mirror_pack(pack: ModelPack) -> ModelPack:
    """Return the same pack with mirrored embeddings, their own recognizer identity and their own calibration."""
    manifest = read_manifest(pack.recognition.path.parent)
    if manifest is not None and manifest.calibration_mirrored is not None:
        calibration = manifest.calibration_mirrored.to_calibration()
    else:
        calibration = find_calibration(
            pack.recognition.sha256 + MIRROR_SUFFIX, pack.threshold, knows_only_drawings=pack.knows_only_drawings
        )
    quality = find_quality_model(pack.recognition.path.parent, pack.recognition.sha256, is_mirrored=True)
    return replace(
        pack, name=pack.name + MIRROR_SUFFIX, calibration=calibration, is_mirrored=True, quality_model=quality
    )


def write_calibration(pack: ModelPack, calibration: Calibration) -> Path:
    """Write a measured calibration into the pack's manifest, created if absent, and return the manifest's path.

    Raises `ModelPackRefused` if the manifest cannot be read or written.
    """
    directory = pack.recognition.path.parent
    manifest = read_manifest(directory) or PackManifest(
        name=pack.name.removesuffix(MIRROR_SUFFIX),
        version=pack.version,
        license=pack.license,
        threshold=pack.threshold,
        threshold_source=pack.threshold_source,
        detection=pack.detection.path.name,
        recognition=pack.recognition.path.name,
        attributes=pack.attributes.path.name if pack.attributes is not None else None,
        knows_only_drawings=pack.knows_only_drawings,
    )
    field = "calibration_mirrored" if pack.is_mirrored else "calibration"
    update = {field: ManifestCalibration.from_calibration(calibration)}
    return write_manifest(directory, manifest.model_copy(update=update))


def write_quality_model(pack: ModelPack, model: QualityModel) -> Path:
    """Write a fitted quality model beside the pack's networks and return its path.

    Raises `ModelPackRefused` if the file cannot be written.
    """
    path = quality_file(pack.recognition.path.parent, is_mirrored=pack.is_mirrored)
    try:
        partial = path.with_suffix(".partial")
        partial.write_bytes(model.to_bytes())
        partial.replace(path)
    except OSError as exc:
        raise ModelPackRefused(f"{path} cannot be written: {exc.strerror}.") from exc
    return path


def _describe_file(path: Path) -> ModelFile:
    return ModelFile(path, sha256_of(path))


def _locate_named(directory: Path, named: PackManifest | PublishedPack) -> dict[str, Path]:
    """Return the detection and the recognition network by kind."""
    return {
        "detection": _locate_file(directory, named.detection),
        "recognition": _locate_file(directory, named.recognition),
    }


def _locate_file(directory: Path, name: str) -> Path:
    file = directory / name
    if file.parent != directory or not file.is_file():
        raise ModelPackRefused(f"{directory} lacks {file.name}.")
    return file


def _locate_attributes(directory: Path, manifest: PackManifest | None, published: PublishedPack | None) -> Path | None:
    """Return the network of age and gender that the manifest names, or else a published pack's if it is there."""
    if manifest is not None and manifest.attributes is not None:
        file = _locate_file(directory, manifest.attributes)
        if _classify(file) != "attributes":
            raise ModelPackRefused(
                f"{file} is not a network of age and gender: such a network turns {ATTRIBUTES_SIDE} x "
                f"{ATTRIBUTES_SIDE} pixels into {ATTRIBUTES} numbers."
            )
        return file
    if published is None or published.attributes is None:
        return None
    file = directory / published.attributes
    return file if file.is_file() else None


def _locate_by_shape(directory: Path) -> dict[str, Path]:
    """Return the first network of each kind, recognized by inputs and outputs; that of attributes may be missing."""
    found: dict[str, Path] = {}
    for path in sorted(directory.glob("*.onnx")):
        kind = _classify(path)
        if kind is not None:
            found.setdefault(kind, path)
    for kind in ("detection", "recognition"):
        if kind not in found:
            raise ModelPackRefused(f"{directory} holds no {kind} network (*.onnx in InsightFace's layout).")
    return found


def _classify(path: Path) -> str | None:
    try:
        graph = read_graph(path)
    except ValueError as exc:
        raise ModelPackRefused(f"{path} is not an ONNX file.") from exc
    weights = {weight.name for weight in graph.initializer}  # older networks list them among the inputs
    image = next((value for value in graph.input if value.name not in weights), graph.input[0])
    shape = [dimension.dim_value for dimension in image.type.tensor_type.shape.dim]
    if len(graph.output) == 9:  # SCRFD with landmarks
        return "detection"
    if len(graph.output) == 1 and shape[2:] == [ATTRIBUTES_SIDE, ATTRIBUTES_SIDE]:
        outputs = [dimension.dim_value for dimension in graph.output[0].type.tensor_type.shape.dim]
        return "attributes" if outputs[-1:] == [ATTRIBUTES] else None
    if len(graph.output) == 1 and shape[2:] == [112, 112]:
        size = [dimension.dim_value for dimension in graph.output[0].type.tensor_type.shape.dim]
        if size[-1:] not in ([EMBEDDING_SIZE], [0]):
            raise ModelPackRefused(
                f"{path} computes embeddings of size {size[-1]}; the database stores embeddings of {EMBEDDING_SIZE}."
            )
        return "recognition"
    return None


def _describe_by_manifest(manifest: PackManifest, detection: ModelFile, recognition: ModelFile) -> ModelPack:
    calibration = (
        manifest.calibration.to_calibration()
        if manifest.calibration is not None
        else find_calibration(recognition.sha256, manifest.threshold, knows_only_drawings=manifest.knows_only_drawings)
    )
    return ModelPack(
        name=manifest.name,
        version=manifest.version,
        license=manifest.license,
        embedding_size=manifest.embedding_size,
        threshold=manifest.threshold,
        threshold_source=manifest.threshold_source,
        detection=detection,
        recognition=recognition,
        calibration=calibration,
        knows_only_drawings=manifest.knows_only_drawings,
    )


def _describe_published(published: PublishedPack, detection: ModelFile, recognition: ModelFile) -> ModelPack:
    return ModelPack(
        name=published.name,
        version="model-zoo",
        license=RESEARCH_LICENSE,
        embedding_size=EMBEDDING_SIZE,
        threshold=published.threshold,
        threshold_source="built in, cautious, not calibrated",
        detection=detection,
        recognition=recognition,
        calibration=find_calibration(recognition.sha256, published.threshold, knows_only_drawings=False),
    )


def _describe_unknown(name: str, detection: ModelFile, recognition: ModelFile) -> ModelPack:
    return ModelPack(
        name=name,
        version="unknown",
        license="unknown; ask the supplier of these weights",
        embedding_size=EMBEDDING_SIZE,
        threshold=CAUTIOUS_THRESHOLD,
        threshold_source="cautious default: the pack has no pack.json",
        detection=detection,
        recognition=recognition,
        calibration=find_calibration(recognition.sha256, CAUTIOUS_THRESHOLD, knows_only_drawings=False),
    )
