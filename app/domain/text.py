"""One form of each text: the same name typed on two systems is the same name, and what cannot be seen is no part of it.

Unicode has two spellings for many letters (`é` as one character, or as `e` with an accent). macOS writes the second in
file names, keyboards type the first.
"""

import re
import unicodedata

# Parts of character classes, in the syntax that Python and ECMAScript share. Characters beyond U+FFFF stand for
# themselves: the two write them differently.
CONTROL = r"\u0000-\u001f\u007f-\u009f"
"""Control characters (category Cc)."""
JOINERS = r"\u200c\u200d"
"""Zero-width characters that Persian and Indic scripts need in names."""
INVISIBLE = (
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that cannot be seen, except the joiners.

Format characters (category Cf), variation selectors, and those without a glyph that count as letters, marks or symbols
(Default_Ignorable_Code_Point).
"""
SPACE = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space, as Unicode defines it."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_INVISIBLE_OR_JOINER = re.compile(f"[{INVISIBLE}{JOINERS}]")


def normalize(text: str) -> str:
    """Return the composed form of a text (Unicode normalization form C)."""
    return unicodedata.normalize("NFC", text)


def normalize_email(email: str) -> str:
    """Return the form in which emails are stored and compared."""
    return normalize(email.strip()).lower()


def has_invisible(text: str, *, allow_joiners: bool = False) -> bool:
    """Return whether a text has characters that cannot be seen: zero-width ones, and those that turn its direction."""
    return (_INVISIBLE if allow_joiners else _INVISIBLE_OR_JOINER).search(text) is not None
