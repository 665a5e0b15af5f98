"""Template protection: embeddings are stored rotated by a secret rotation of their tenant (ISO/IEC 24745).

- A rotation preserves all angles, so similarities and searches do not change.
- Unlinkable: without the secret, templates match nothing else, not even the same face of another tenant.
- Renewable: another salt produces different templates from the same embeddings.
- No protection against an attacker who has the service's secret, which reverses the rotation.

Pure functions.
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
"""(512, 512), float64, orthogonal; multiplies embeddings as column vectors."""


@dataclass(frozen=True, slots=True)
class Protection:
    """Identifies a rotation: the generation of the tenant's salt, the salt itself, and the service key's id.

    Generation 0 means unprotected: templates stored before protection existed.
    """

    generation: int = 0
    salt: bytes = b""
    key_id: str = ""

    @property
    def is_none(self) -> bool:
        """Whether templates are stored unprotected."""
        return self.generation == 0


UNPROTECTED = Protection()


def derive_rotation(key: bytes, tenant_id: UUID, salt: bytes) -> Rotation:
    """Derive a pseudorandom orthogonal matrix, uniform over all of them and the same on every machine.

    SHAKE256 and the Box-Muller transform produce independent normal values. QR decomposition makes them orthogonal,
    with the signs of R's diagonal moved into Q. Source: Mezzadri, "How to generate random matrices from the classical
    compact groups", 2007.
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
    """Rotate embeddings (n, 512)."""
    return np.asarray(embeddings.astype(np.float64) @ rotation.T, dtype=np.float32)
