"""Say numbers and ids in words that people read."""

import re

from app.console.texts import language, translate

_UPLOADED = re.compile(r"~\d+~\d+$")
_NOTHING = "\u2013"
_THOUSANDS = {"en": ",", "de": "."}


def photo_name(external_id: str | None) -> str:
    """Return a photo's id without the size and time that the console's uploads add to the file's name."""
    return _UPLOADED.sub("", external_id) if external_id else _NOTHING


def clock(ms: int | None) -> str:
    """Return a moment of a video, such as `1:02:07` or `2:07`."""
    if ms is None:
        return _NOTHING
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def describe_rate(rate: float | None) -> str:
    """Say a false match rate as `about one stranger in 40,000`."""
    if not rate:
        return translate("scale.no_rate")
    if rate >= 0.5:
        return translate("scale.often")
    number = float(f"{1 / rate:.2g}" if rate > 0.01 else f"{1 / rate:.1g}")
    return translate("scale.rate", number=f"{number:,.0f}".replace(",", _THOUSANDS[language.get()]))


FILTERS = {"photo_name": photo_name, "clock": clock, "rate": describe_rate}
"""What templates use by these names."""
