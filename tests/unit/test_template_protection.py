"""The rotation that embeddings are stored under."""

from uuid import UUID, uuid4

import numpy as np
import pytest

from app.security.template_protection import derive_rotation, rotate

KEY, TENANT, SALT = bytes(range(32)), UUID(int=7), b"s" * 32


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, 512)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_every_angle_stays() -> None:
    embeddings = unit(np.random.default_rng(0), 300)
    embeddings[1] = embeddings[0] + 0.3 * embeddings[1]
    embeddings[1] /= np.linalg.norm(embeddings[1])
    rotation = derive_rotation(KEY, TENANT, SALT)
    turned = rotate(embeddings, rotation)
    assert np.abs(turned @ turned.T - embeddings @ embeddings.T).max() < 1e-5
    assert np.abs(rotate(turned, rotation.T) - embeddings).max() < 1e-6


def test_it_is_the_same_on_every_machine() -> None:
    """Else what one machine stored another could not compare: these numbers must never change."""
    rotation = derive_rotation(KEY, TENANT, SALT)
    assert rotation[0, :3] == pytest.approx([0.0257856025, -0.0494703028, -0.0389583612], abs=1e-9)
    assert rotation[511, 511] == pytest.approx(-0.0111524244, abs=1e-9)


def test_another_key_tenant_or_salt_gives_another_one() -> None:
    same = derive_rotation(KEY, TENANT, SALT)
    for other in (
        derive_rotation(b"k" * 32, TENANT, SALT),
        derive_rotation(KEY, uuid4(), SALT),
        derive_rotation(KEY, TENANT, b"t" * 32),
        derive_rotation(KEY, TENANT, b""),
    ):
        assert np.abs(same @ other.T).max() < 0.4


def test_across_tenants_the_same_face_is_noise() -> None:
    """AUC of mates against strangers, between two tenants' templates."""
    rng = np.random.default_rng(1)
    faces = unit(rng, 400)
    one, other = (rotate(faces, derive_rotation(KEY, UUID(int=tenant), SALT)) for tenant in (1, 2))
    similarities = one @ other.T
    mates, strangers = np.diag(similarities), similarities[~np.eye(400, dtype=bool)]
    auc = (np.searchsorted(np.sort(strangers), mates) / len(strangers)).mean()
    assert auc == pytest.approx(0.5, abs=0.05)
    assert np.abs(mates).max() < 0.3


def test_the_rotations_are_spread_evenly() -> None:
    """Entries of a uniform rotation are nearly normal with variance 1/512, and the diagonal leans nowhere."""
    rotation = derive_rotation(KEY, TENANT, SALT)
    assert rotation.var() == pytest.approx(1 / 512, rel=1e-6)
    assert abs(np.diag(rotation).mean()) < 5 / np.sqrt(512 * 512)
    assert abs((rotation**4).mean() * 512**2 - 3) < 0.1
