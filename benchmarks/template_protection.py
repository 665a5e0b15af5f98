"""Measure the cost of template protection, what it hides, and the time of a rotation.

    python -m benchmarks.template_protection [--photos DIR --pack DIR] [--templates N] [--out [FILE]]

- Angles: the largest change of a cosine between two embeddings of one tenant, before and after rounding to half
  precision.
- Unlinkability: the area under the ROC curve of mates against strangers, for the same people at two tenants (0.5: they
  cannot be linked), with and without protection.
- Rotation: N templates are stored through the service's login and protected with a new rotation. The first 500 are
  searched before and after.

With photos (one folder per person) and a pack, the embeddings are real, of the first two photos of each person.
Otherwise they are the synthetic ones of `face_embeddings.py`.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np

from app.domain.faces import BoundingBox, Embedding, Face, Quality
from app.matcher.engine import SearchEngine
from app.matcher.gallery_cache import GalleryCache
from app.matcher.search import Gallery
from app.matcher.strategy import SearchLimits
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database, driver_address
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.repositories.tenants import TenantDirectory
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.security.template_protection import SALT_BYTES, derive_rotation, rotate
from app.services.audit.trail import AuditTrails
from app.services.maintenance.template_rotation import TemplateRotation
from benchmarks.face_embeddings import Embeddings, FaceLike, extract_faces
from benchmarks.galleries import BenchDatabase
from benchmarks.machine import describe_run

RESULT = Path(__file__).parent / "results" / "template_protection.json"
FACE = Face(BoundingBox(0, 0, 90, 110), ((0.0, 0.0),) * 5, 0.9, Quality(90, 100, 120, 0, 0, 0))
KEYRING = Keyring([b"a secret of the benchmark, 32 bytes or more"])
BATCH = 10


def make_pairs(photos: Path | None, pack: Path | None) -> tuple[str, Embeddings, Embeddings]:
    """Return a description of the embeddings, and two embeddings of each person."""
    if photos is None or pack is None:
        source = FaceLike(7)
        first = source.draw(2_000)
        return "face-like", first, source.mates(first)[0]
    with tempfile.TemporaryDirectory() as directory:
        faces = extract_faces(photos, pack, Path(directory) / "faces.npz", print)
    pairs = [np.flatnonzero(faces.people == person)[:2] for person in np.unique(faces.people)]
    chosen = np.stack([pair for pair in pairs if len(pair) == 2])
    return "LFW, two photos per person", faces.embeddings[chosen[:, 0]], faces.embeddings[chosen[:, 1]]


def measure_angles(embeddings: Embeddings) -> dict[str, float]:
    """Return the largest changes of cosines."""
    sample = embeddings[:1_000]
    rotated = rotate(sample, derive_rotation(b"k" * 32, uuid4(), os.urandom(SALT_BYTES)))
    before = sample @ sample.T

    def change(stored: Embeddings) -> float:
        return float(np.abs(stored @ stored.T - before).max())

    halved = [array.astype(np.float16).astype(np.float32) for array in (sample, rotated)]
    return {
        "by_rotation": change(rotated),
        "by_half_precision_alone": change(halved[0]),
        "by_both": change(halved[1]),
    }


def measure_linkability(first: Embeddings, second: Embeddings) -> dict[str, float]:
    """Return the AUC of mates against strangers, within one tenant and between two."""
    first_rotation, second_rotation = (derive_rotation(b"k" * 32, uuid4(), os.urandom(SALT_BYTES)) for _ in range(2))
    return {
        "unprotected": _auc(first, second),
        "one_tenant": _auc(rotate(first, first_rotation), rotate(second, first_rotation)),
        "two_tenants": _auc(rotate(first, first_rotation), rotate(second, second_rotation)),
        "two_tenants_same_photo": _auc(rotate(first, first_rotation), rotate(first, second_rotation)),
    }


def _auc(first: Embeddings, second: Embeddings) -> float:
    similarities = first @ second.T
    mates, strangers = np.diag(similarities), np.sort(similarities[~np.eye(len(first), dtype=bool)])
    below = (np.searchsorted(strangers, mates) + np.searchsorted(strangers, mates, side="right")) / 2
    return round(float((below / len(strangers)).mean()), 4)


async def measure_rotation(database: BenchDatabase, count: int) -> dict[str, Any]:
    """Store templates, rotate their protection, and search the first 500 before and after."""
    service = Database(database.service)
    protector = TemplateProtector(KEYRING)
    faces = [np.asarray(face) for face in FaceLike(count).draw(count)]
    tenant_id = uuid4()
    async with service.transaction(tenant_id) as session:
        await TenantDirectory(session).add(tenant_id, "bench")
        await CollectionRepository(session, tenant_id).add("default")
        row = await CollectionRepository(session, tenant_id).find_row("default")
        assert row is not None
        gallery = Gallery(row.id, "bench")
        subjects = SubjectRepository(session, tenant_id)
        store = TemplateStore(session, tenant_id, protector)
        for start in range(0, count, BATCH):
            subject_id = await subjects.upsert(row.id, f"s{start:07}", None, None)
            await store.add_all(
                [NewFace.of(subject_id, FACE, {"bench": face}) for face in faces[start : start + BATCH]],
                collection_id=row.id,
                source="bench",
            )
    owner = await database.connect()
    await owner.execute("ANALYZE")  # autovacuum does this within a minute
    await owner.close()
    engine = _engine(database.service, protector)
    before = await _similarities(engine, tenant_id, gallery, faces)
    started = time.perf_counter()
    rotated = await TemplateRotation(service, KEYRING, AuditTrails(KEYRING)).run(tenant_id)
    took = time.perf_counter() - started
    after = await _similarities(engine, tenant_id, gallery, faces)
    await engine.close()
    await service.close()
    return {
        "templates": rotated,
        "seconds": round(took, 2),
        "templates_per_s": round(rotated / took),
        "largest_change_of_a_similarity": round(float(np.abs(before - after).max()), 6),
        "found_before": int((before > 0.99).sum()),
        "found_after": int((after > 0.99).sum()),
    }


async def _similarities(
    engine: SearchEngine, tenant_id: Any, gallery: Gallery, faces: list[Embedding]
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    found = await TenantSearch(engine, tenant_id).identify(gallery, faces[:500], 1)
    return np.array([ranked[0].similarity if ranked else 0.0 for ranked in found.ranked])


def _engine(url: str, protector: TemplateProtector) -> SearchEngine:
    cache = GalleryCache(SnapshotPool(url, size=1), max_bytes=2**28, max_whole_templates=0)
    statements = StatementPool(driver_address(url), size=2)
    return SearchEngine(SnapshotPool(url, size=2), statements, cache, SearchLimits(), protector)


def measure_derivation() -> dict[str, float]:
    """Measure deriving a rotation (once per tenant and worker) and applying it (once per probe)."""
    started = time.perf_counter()
    rotation = derive_rotation(b"k" * 32, uuid4(), os.urandom(SALT_BYTES)).astype(np.float32)
    derived_s = time.perf_counter() - started
    probe = np.ones((1, 512), np.float32)
    started = time.perf_counter()
    for _ in range(1_000):
        probe @ rotation.T
    return {"derive_ms": round(derived_s * 1e3, 1), "rotate_one_ms": round((time.perf_counter() - started), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--templates", type=int, default=10_000)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    what, first, second = make_pairs(arguments.photos, arguments.pack)
    result: dict[str, Any] = {
        **describe_run(),
        "embeddings": what,
        "people": len(first),
        "change_of_cosines": measure_angles(first),
        "auc": measure_linkability(first, second),
        "cost": measure_derivation(),
    }
    temporary = tempfile.TemporaryDirectory(prefix="vultus-bench-", ignore_cleanup_errors=True)
    with temporary as directory, BenchDatabase(Path(directory)) as database:
        result["rotation"] = asyncio.run(measure_rotation(database, arguments.templates))
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
