"""Searches of an album with 40,000 faces by 50 clients, and whether they find what an exact comparison finds."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import numpy as np
from numpy.typing import NDArray

from app.domain.faces import RelativeBox
from app.domain.people import FaceOrigin
from app.ml.analysis import Embed
from app.persistence.connections.database import Database
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.services.people.rules import anonymous_name
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.albums.stage import SECRET, Stage, Tenant
from benchmarks.goals import at_least, at_most
from benchmarks.photos import make_photos
from benchmarks.serving import percentile

PHOTOS, FACES_A_PHOTO = 10_000, 4
PEOPLE = 2_000
CLIENTS, SEARCHES, ROUNDS = 50, 300, 3
PAUSE_S = 2.0
"""How long a client pauses between two searches."""
NOISE = 0.4
"""Length of the noise that is added to an embedding of length 1, for another photo of the person."""
_BATCH = 500
_PATIENT = {"VULTUS_INFERENCE_QUEUE": "64", "VULTUS_INFERENCE_DEADLINE_S": "60"}
_INFERENCE = ("wait", "decode", "detect", "align", "embed", "quality", "attributes")


def measure_search(stage: Stage) -> dict[str, Any]:
    """Search with photos, by 50 clients at the same time."""
    selfies, embeddings, recognizer = _embed(stage)
    rng = np.random.default_rng(5)
    faces = _multiply(embeddings, PHOTOS * FACES_A_PHOTO, rng)
    with stage.serving(**_PATIENT) as api:
        tenant = stage.new_tenant(api)
        album = stage.new_album(api, tenant)
        photo_of = asyncio.run(_fill(stage, tenant, album, faces, recognizer))
        flaws, found = _check(api, tenant, album, selfies, embeddings, (faces, photo_of))
        without_pause, _ = _search_all(api, tenant, album, selfies, pause_s=0)
    beyond, whole, in_database = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):  # by turns, since the machine has other users
        for limit in ("20000", "50000"):
            with stage.serving(**_PATIENT, VULTUS_SEARCH_CACHE_WHOLE_LIMIT=limit) as api:
                _search_all(api, tenant, album, selfies, pause_s=0, searches=CLIENTS)  # it is cached then
                measured, in_all = _search_all(api, tenant, album, selfies)
            if limit == "20000":
                in_database += measured
            else:
                beyond, whole = beyond + measured, whole + in_all
    return {
        "photos": PHOTOS,
        "faces": len(faces),
        "people": len(embeddings),
        "clients": CLIENTS,
        "searches": SEARCHES,
        "pause_s": PAUSE_S,
        "photos_found_a_search": round(found, 1),
        "beyond_inference_ms": _spread(beyond),
        "beyond_inference_ms_in_the_database": _spread(in_database),
        "beyond_inference_ms_without_pauses": _spread(without_pause),
        "whole_ms": _spread(whole),
        "goals": [
            at_most("an album search beyond inference, 50 clients, p95", 100, round(percentile(beyond, 0.95), 1), "ms"),
            at_least("searches that found the photos of an exact search", 1, round(1 - flaws, 4), "share"),
        ],
    }


def _embed(stage: Stage) -> tuple[list[bytes], NDArray[np.float32], str]:
    """Return photos of single people with the embedding of the largest face of each, and the recognizer."""
    settings = {"model_pack": stage.env["VULTUS_MODEL_PACK"], "data_dir": stage.directory}
    analyzer = build_analyzer(Settings.model_validate(settings))
    photos = _photos_of_people(stage)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        analyses = list(pool.map(lambda photo: analyzer.analyze(photo, Embed.LARGEST), photos))
    pairs = [(photo, one.embeddings[0]) for photo, one in zip(photos, analyses, strict=True) if one.embeddings]
    return [photo for photo, _ in pairs], np.array([one for _, one in pairs]), analyzer.engine.info.recognizer


def _photos_of_people(stage: Stage) -> list[bytes]:
    """Return one photo a person."""
    if stage.inputs.photos is None:
        return make_photos("lfw", None, PEOPLE)
    folders = sorted(stage.inputs.photos.iterdir())[:PEOPLE]
    return [next(iter(sorted(folder.glob("*.jpg")))).read_bytes() for folder in folders]


def _multiply(embeddings: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return embeddings (count, 512) of unit length: each person's own with noise, several times."""
    noise = rng.standard_normal((count, embeddings.shape[1])).astype(np.float32)
    noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    faces = embeddings[rng.integers(0, len(embeddings), count)] + noise
    normal: NDArray[np.float32] = faces / np.linalg.norm(faces, axis=1, keepdims=True)
    return normal


async def _fill(stage: Stage, tenant: Tenant, album: str, faces: NDArray[np.float32], recognizer: str) -> list[str]:
    """Store processed photos with four faces each; return the external id of the photo of each face."""
    database = Database(stage.admin, pool_size=2)
    connection = await asyncpg.connect(stage.admin)
    found = "SELECT id FROM collections WHERE tenant_id = $1 AND name = $2"
    collection_id = UUID(str(await connection.fetchval(found, tenant.id, album)))
    photo_ids = [uuid4() for _ in range(len(faces) // FACES_A_PHOTO)]
    await connection.execute(
        "INSERT INTO photos (tenant_id, id, collection_id, external_id, state, has_object, finished_at, faces) "
        "SELECT $1, one, $2, one::text, 'done', false, now(), $3 FROM unnest($4::uuid[]) AS one",
        tenant.id,
        collection_id,
        FACES_A_PHOTO,
        photo_ids,
    )
    await connection.close()
    box = RelativeBox(0.1, 0.1, 0.2, 0.2)
    stored = [
        NewFace(uuid4(), {recognizer: one}, 0.9, {"score": 80.0}, FaceOrigin(photo_id, box, str(photo_id)))
        for one, photo_id in zip(faces, np.repeat(np.array(photo_ids, object), FACES_A_PHOTO), strict=True)
    ]
    protector = TemplateProtector(Keyring([SECRET.encode()]))
    for start in range(0, len(stored), _BATCH):
        batch = stored[start : start + _BATCH]
        async with database.transaction(tenant.id) as session:
            names = {face.subject_id: anonymous_name(face.id) for face in batch}
            await SubjectRepository(session, tenant.id).add_anonymous(collection_id, names)
            await TemplateStore(session, tenant.id, protector).add_all(
                batch, collection_id=collection_id, source="album"
            )
    await database.close()
    return [str(photo_id) for photo_id in photo_ids for _ in range(FACES_A_PHOTO)]


def _check(
    api: str,
    tenant: Tenant,
    album: str,
    selfies: list[bytes],
    embeddings: NDArray[np.float32],
    stored: tuple[NDArray[np.float32], list[str]],
) -> tuple[float, float]:
    """Return the share of searches that differ from an exact comparison, and how many photos one finds.

    Faces within 0.002 of the threshold may be found or not: embeddings are stored with half the precision.
    """
    faces, photo_of = stored
    flaws, found, checked = 0, 0, 60
    with httpx.Client(headers=tenant.headers, timeout=120) as client:
        for number in range(checked):
            answer, names = _find_all(client, api, album, selfies[number])
            similarities = faces @ embeddings[number]
            sure = {photo_of[index] for index in np.flatnonzero(similarities > answer["review_threshold"] + 0.002)}
            possible = {photo_of[index] for index in np.flatnonzero(similarities > answer["review_threshold"] - 0.002)}
            flaws += not (sure <= names <= possible)
            found += len(names)
    return flaws / checked, found / checked


def _find_all(client: httpx.Client, api: str, album: str, selfie: bytes) -> tuple[dict[str, Any], set[str]]:
    """Return the last page of a search, and the photos of all pages."""
    names, cursor = set[str](), ""
    while True:
        answer: dict[str, Any] = _search(client, api, album, selfie, limit=1000, cursor=cursor).json()
        names |= {item["external_id"] for item in answer["items"]}
        cursor = answer["next_cursor"]
        if cursor is None:
            return answer, names


def _spread(values: list[float]) -> dict[str, float]:
    return {"p50": round(percentile(values, 0.5), 1), "p95": round(percentile(values, 0.95), 1)}


def _search_all(
    api: str, tenant: Tenant, album: str, selfies: list[bytes], *, pause_s: float = PAUSE_S, searches: int = SEARCHES
) -> tuple[list[float], list[float]]:
    """Return the milliseconds beyond inference, and in all, of searches by many clients."""

    def ask(client_number: int) -> list[tuple[float, float]]:
        times = []
        time.sleep(pause_s * client_number / CLIENTS)
        with httpx.Client(headers=tenant.headers, timeout=120) as client:
            for number in range(searches // CLIENTS):
                selfie = selfies[(client_number * 31 + number * 7) % len(selfies)]
                started_at = time.perf_counter()
                answer = _search(client, api, album, selfie, limit=100)
                whole = 1000 * (time.perf_counter() - started_at)
                times.append((whole - _inference_ms(answer.headers["server-timing"]), whole))
                time.sleep(pause_s)
        return times

    with ThreadPoolExecutor(CLIENTS) as pool:
        times = [one for found in pool.map(ask, range(CLIENTS)) for one in found]
    return [beyond for beyond, _ in times], [whole for _, whole in times]


def _search(
    client: httpx.Client, api: str, album: str, selfie: bytes, *, limit: int, cursor: str = ""
) -> httpx.Response:
    files = {"images": ("a.jpg", selfie, "image/jpeg")}
    data = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
    return client.post(f"{api}/albums/{album}/search", data=data, files=files).raise_for_status()


def _inference_ms(header: str) -> float:
    """Add up the stages of inference, with the wait for it."""
    stages = dict(part.strip().split(";dur=") for part in header.split(","))
    return sum(float(duration) for stage, duration in stages.items() if stage in _INFERENCE)
