"""Embeddings are stored turned by a secret rotation of their tenant (ISO/IEC 24745: renewable, unlinkable).

A rotation keeps every angle, so searching goes on as before; without the secret the numbers fit nothing else, not even
the same face at another tenant. Another salt makes other templates of the same faces. Pure functions.

What it does not protect against: whoever holds the service's secret can turn the templates back.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE

PURPOSE = "templates"
SALT_BYTES = 32

Rotation = NDArray[np.float64]
"""(512, 512), orthogonal; turns a column."""


@dataclass(frozen=True, slots=True)
class Protection:
    """Which rotation: the generation of the tenant's salts, the salt, and the name of the key that was in use.

    Generation 0 is none at all: templates from before there was any.
    """

    generation: int = 0
    salt: bytes = b""
    key_id: str = ""

    @property
    def is_none(self) -> bool:
        """Whether templates are stored as they are."""
        return self.generation == 0


UNPROTECTED = Protection()


def derive_rotation(key: bytes, tenant_id: UUID, salt: bytes) -> Rotation:
    """A rotation that nobody can tell from a random one (uniform over all), the same on every machine.

    Independent normal numbers, from SHAKE256 by the Box-Muller transform, made orthogonal by QR with the signs of R's
    diagonal moved into Q (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
    """
    count = EMBEDDING_SIZE * EMBEDDING_SIZE
    seed = key + tenant_id.bytes + len(salt).to_bytes(4, "big") + salt
    raw = np.frombuffer(hashlib.shake_256(b"vultus template rotation v1" + seed).digest(8 * count), "<u8")
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    radius, angle = np.sqrt(-2 * np.log(uniform[: count // 2])), 2 * np.pi * uniform[count // 2 :]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    q, r = np.linalg.qr(normal.reshape(EMBEDDING_SIZE, EMBEDDING_SIZE))
    rotation: Rotation = q * np.sign(np.diag(r))
    return rotation


def rotate(embeddings: NDArray[np.float32], rotation: Rotation) -> NDArray[np.float32]:
    """(n, 512) embeddings, turned."""
    return np.asarray(embeddings.astype(np.float64) @ rotation.T, dtype=np.float32)
