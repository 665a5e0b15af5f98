"""One form of each text: the same name typed on two systems is the same name, and what cannot be seen is no part of it.

Unicode has two spellings for many letters (`é` as one character, or as `e` with an accent). macOS writes the second in
file names, keyboards type the first.
"""

import unicodedata

_INVISIBLE_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Characters without a glyph that Unicode counts as letters, marks or symbols (Default_Ignorable_Code_Point)."""

_JOINERS = "\u200c\u200d"
"""Zero-width characters that Persian and Indic scripts need in names."""


def normalize(text: str) -> str:
    """Return the composed form of a text (Unicode normalization form C)."""
    return unicodedata.normalize("NFC", text)


def normalize_email(email: str) -> str:
    """Return the form in which emails are stored and compared."""
    return normalize(email.strip()).lower()


def has_invisible(text: str, *, allow_joiners: bool = False) -> bool:
    """Return whether a text has characters that cannot be seen: zero-width ones, and those that turn its direction."""
    return any(_is_invisible(character) for character in text if not (allow_joiners and character in _JOINERS))


def _is_invisible(character: str) -> bool:
    is_variation_selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    is_mongolian_selector = "\u180b" <= character <= "\u180f"
    return (
        unicodedata.category(character) == "Cf"
        or character in _INVISIBLE_LETTERS
        or is_variation_selector
        or is_mongolian_selector
    )
