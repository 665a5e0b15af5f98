"""`vultus eval quality`: measure whether quality scores predict errors."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from app.cli.evaluation_run import Data, Face, Out, Pack, RunOptions, Seed, open_run
from app.evaluation.datasets import read_people
from app.evaluation.quality import RatedFace, evaluate_quality
from app.evaluation.systems.in_process import InProcess
from app.evaluation.systems.photos import read_photo
from app.ml.face_quality.degradation import degrade


def quality(
    data: Data,
    out: Out = Path("eval-quality"),
    degraded: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the photos that are degraded at random first, 0 to 1.")
    ] = 0.0,
    fmr: Annotated[float, typer.Option(min=1e-6, max=0.1, help="False-match rate that sets the threshold.")] = 1e-3,
    face: Face = "central",
    pack: Pack = None,
    seed: Seed = 1,
) -> None:
    """Measure whether quality predicts errors: how errors fall as the worst faces are discarded.

    Compares the quality score with detection score, sharpness, face size and the embedding's length, as
    error-versus-discard characteristics (ISO/IEC 29794-1). The data directory has one folder per person.
    """
    people = read_people(data)
    with open_run(out, RunOptions(face=face, pack=pack)) as run:
        steps = run.progress.steps("Measuring quality", sum(len(person.photos) for person in people))
        faces = []
        for owner, person in enumerate(people):
            for photo in person.photos:
                rated = _rate(run.in_process, owner, photo, degraded, seed)
                steps.advance()
                if rated is not None:
                    faces.append(rated)
        found = {**evaluate_quality(faces, fmr), "degraded": degraded}
        run.finish(out, {"kind": "Quality", "quality": found}, [], data, seed)
    for name, measured in found["measures"].items():
        typer.echo(f"{name:<16} {_describe(measured, 'fnmr')}; {_describe(measured, 'fmr')}")


def _describe(measured: dict[str, Any], rate: str) -> str:
    first, last = measured["curve"][0], measured["curve"][-1]
    mean = measured[f"mean_{rate}_of_start"]
    shown = "-" if mean is None else f"{mean:.3f}"
    return f"{rate.upper()} {first[rate]:.4g}, {last[rate]:.4g} without the worst fifth, mean {shown} of the start"


def _rate(system: InProcess, owner: int, photo: Path, degraded: float, seed: int) -> RatedFace | None:
    """Measure a photo's face; photos are drawn for degradation by their own name, so that the order is no matter."""
    data = read_photo(photo)
    digest = hashlib.sha256(f"{seed}\0{photo.parent.name}\0{photo.name}".encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng(list(digest))
    if rng.random() < degraded:
        data = _degrade(system, data, rng) or data
    found = system.rate(data)
    if found is None:
        return None
    face, embedding = found
    measures = {
        "embedding length": face.quality.embedding_length,
        "quality score": face.quality.score,
        "detection score": face.detection_score,
        "sharpness": face.quality.sharpness,
        "face pixels": face.quality.face_pixels,
    }
    return RatedFace(owner, embedding, {name: value for name, value in measures.items() if value is not None})


def _degrade(system: InProcess, data: bytes, rng: np.random.Generator) -> bytes | None:
    """Return a degraded copy as a JPEG; None if the photo cannot be read or shows no face."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    found = system.rate(data) if picture is not None else None
    if picture is None or found is None:
        return None
    landmarks = np.array(found[0].landmarks, dtype=np.float32)
    worse = degrade(np.asarray(picture, dtype=np.uint8), landmarks, rng)
    return bytes(cv2.imencode(".jpg", worse, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
