"""Rank the subjects of a gallery in memory as exact products do."""

from uuid import UUID

import numpy as np
import pytest

from app.matcher.cached_gallery import CachedGallery
from app.matcher.gallery_version import GalleryVersion


@pytest.mark.parametrize("faces", [(1, 1, 1), (700, 1, 3), (400, 300, 1)])
def test_subjects_with_many_faces_are_ranked_by_their_most_similar_face(faces: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(faces) + faces[0])
    values = rng.standard_normal((sum(faces), 512))
    embeddings = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
    subjects = np.repeat(np.arange(len(faces)), faces)
    embeddings[1] = embeddings[0]  # of equal faces, the newest is named if one subject has both
    ids = [UUID(int=number + 1) for number in range(len(faces))]
    subject_ids = np.array([ids[number].bytes for number in subjects], dtype="V16")
    seqs = np.arange(1, sum(faces) + 1)
    version = GalleryVersion(ids[0], ids[0], "default", "test", len(seqs), len(seqs), 0, 0, None)  # type: ignore[arg-type]
    cached = CachedGallery.from_templates(version, seqs, subject_ids, embeddings, np.ones(len(seqs), bool), 0.0)
    for probe in (embeddings[0], embeddings[-1], rng.standard_normal(512).astype(np.float16)):
        exact = (embeddings.astype(np.float32) * probe.astype(np.float32)).sum(axis=1)
        best = {number: exact[subjects == number].max() for number in range(len(faces))}
        expected = sorted(best, key=lambda number: -best[number])
        similar = cached.find_similar([probe.astype(np.float32)], 3)
        assert similar is not None
        found = {one.key: one for one in similar.found[0]}
        assert set(found) == {ids[number] for number in expected}
        for number in expected:
            newest = seqs[(subjects == number) & (exact == best[number])].max()
            assert (found[ids[number]].similarity, found[ids[number]].seq) == (float(best[number]), newest)
