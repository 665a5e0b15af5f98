"""Tokens of guests' links: `vl_<public id>_<256 random bits>`; only an HMAC of the secret part is stored."""

import re
import secrets
import string
from dataclasses import dataclass, field

_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS = 16
_FORMAT = re.compile(r"vl_([A-Za-z0-9]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class LinkToken:
    """The public id and the secret of a link; `text` is what the guest sends, shown only once."""

    public_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        return f"vl_{self.public_id}_{self.secret}"

    @classmethod
    def generate(cls) -> "LinkToken":
        public_id = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS))
        return cls(public_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> "LinkToken | None":
        """Parse a presented token; returns None if it does not have the format."""
        match = _FORMAT.fullmatch(text)
        return cls(match[1], match[2]) if match else None
