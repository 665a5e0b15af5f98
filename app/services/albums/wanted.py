"""What a search of an album looks for."""

from dataclasses import dataclass, field

from app.domain.faces import Embedding


@dataclass(frozen=True, slots=True)
class WantedFace:
    """The face of a person to look for, (512,), and whether its quality is reliable."""

    embedding: Embedding = field(repr=False)
    is_reliable: bool
