"""A run's result as JSON and as one self-contained HTML page; crops of faces only on request."""

import base64
import io
import json
import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import OperatorError
from app.evaluation.charts import histogram_chart, line_chart

_THUMBNAIL = 112
_MAX_PIXELS = 50_000_000
_MARGIN = 0.3
"""Margin around a face on each side, as a share of its longer side."""
_STYLE = (
    "body{font:14px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.charts{display:flex;flex-wrap:wrap;gap:1em}svg{width:460px}"
    ".failure{display:inline-block;margin:.4em;text-align:center;font-size:11px;border:1px solid #ddd;padding:3px}"
    ".failure span{display:inline-block;margin:1px}.failure img{height:112px}"
)


def write_report(directory: Path, result: dict[str, Any], *, with_pictures: bool) -> tuple[Path, Path]:
    """Write `report.json` and `report.html`, and return their paths; the JSON contains no pictures.

    A page with pictures is readable by its owner only. Raises `OperatorError` if a file cannot be written.
    """
    text, page = report_files(directory)
    try:
        page.touch(mode=0o600)
        text.write_text(json.dumps(_replace_non_finite(result), indent=1, default=str, allow_nan=False) + "\n")
        page.chmod(0o600 if with_pictures else 0o644)
        page.write_text(render(result, with_pictures=with_pictures), encoding="utf-8", errors="replace")
    except OSError as exc:
        raise OperatorError(f"{directory}: the report cannot be written: {exc.strerror}.") from exc
    return text, page


def _replace_non_finite(value: Any) -> Any:
    """Return the value with null in place of NaN and infinities, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report_files(directory: Path) -> tuple[Path, Path]:
    """Create the directory and return the paths of a report's files in it.

    Raises `OperatorError` if they cannot be written; called before a run as well, so that a long run does not fail at
    its end.
    """
    files = directory / "report.json", directory / "report.html"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.exists():
                file.open("a").close()
    except OSError as exc:
        raise OperatorError(f"{directory}: a report cannot be written there: {exc.strerror}.") from exc
    return files


def render(result: dict[str, Any], *, with_pictures: bool) -> str:
    """Return the HTML page of a result."""
    parts = [f"<h1>{escape(result['kind'])}</h1>", _table("What was evaluated", result["about"])]
    for name, part in _PARTS.items():
        if name in result:
            parts += part(result[name])
    if with_pictures and result.get("failures"):
        parts.append("<h2>Worst errors</h2>" + "".join(_failure(failure) for failure in result["failures"]))
    return f"<!doctype html><meta charset=utf-8><title>Vultus evaluation</title><style>{_STYLE}</style>{''.join(parts)}"


def _pairs(found: dict[str, Any]) -> list[str]:
    return _verification("Pairs", found)


def _all_pairs(found: dict[str, Any]) -> list[str]:
    return _verification("All pairs of photos", found)


def _verification(title: str, found: dict[str, Any]) -> list[str]:
    shown = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
    if "accuracy" in found:
        shown["accuracy"] = _rate(found["accuracy"])
    tar_at_far = found["tar_at_far"]
    parts = [_table(title, shown)]
    rows = [(f"{row['far']:g}", f"{row['threshold']:.4f}", _rate(row["tar"])) for row in tar_at_far]
    parts.append(_rows("True accept rate at fixed false accept rate", ("FAR", "threshold", "TAR"), rows))
    if found.get("stated_fmr"):
        rows = [
            (f"{row['stated']:g}", f"{row['threshold']:.4f}", _rate(row["observed"]))
            for row in found["stated_fmr"]["rates"]
        ]
        parts.append(_rows("Stated and observed false-match rate", ("stated", "threshold", "observed"), rows))
    det = {"": [(fmr, fnmr) for _, fmr, fnmr in found["curve"]]}
    roc = {"": [(fmr, 1 - fnmr) for _, fmr, fnmr in found["curve"]]}
    accepted = {"": [(row["far"], row["tar"]["low"], row["tar"]["high"]) for row in tar_at_far]}
    missed = {"": [(far, 1 - high, 1 - low) for far, low, high in accepted[""]]}
    bins = found["histogram"]
    counts = {"same person": bins["genuine"], "different people": bins["impostors"]}
    charts = [
        line_chart("DET", det, x="FMR", y="FNMR", log_x=True, log_y=True, intervals=missed),
        line_chart("ROC", roc, x="FMR", y="TAR", log_x=True, intervals=accepted),
        histogram_chart("Similarities", bins["edges"], counts, x="similarity"),
    ]
    parts.append(_charts(charts))
    if found.get("groups"):
        parts += _groups(found["groups"])
    return parts


def _groups(found: dict[str, Any]) -> list[str]:
    rows = [
        (
            group,
            *(part for name in ("fmr", "fnmr") for part in (_rate(row[name]), str((row[name] or {}).get("count", 0)))),
        )
        for group, row in found["groups"].items()
    ]
    ratios = {
        f"largest ratio of {name.upper()}": f"{_rate(ratio)}, {' to '.join(ratio['between'])}" if ratio else "-"
        for name, ratio in found["largest_ratio"].items()
    }
    headings = ("group", "FMR", "impostor pairs", "FNMR", "genuine pairs")
    return [_rows(f"By group, at {found['threshold']:.4f}", headings, rows), _table("Between groups", ratios)]


def _galleries(found: Sequence[dict[str, Any]]) -> list[str]:
    rows, stated, decided = [], [], []
    # A gallery with few strangers lacks the lower FPIR that others have.
    fnir_of = [{entry["fpir"]: entry["fnir"] for entry in row["fnir_at_fpir"]} for row in found]
    fpirs = sorted({fpir for by_fpir in fnir_of for fpir in by_fpir}, reverse=True)
    for row, by_fpir in zip(found, fnir_of, strict=True):
        size = str(row["gallery"])
        rank_1 = _rate(_complement(row["rank_1_missed"]))
        rows.append((size, rank_1, *(_rate(by_fpir[fpir]) if fpir in by_fpir else "" for fpir in fpirs)))
        own_decisions = row["decided"]
        decided.append(
            (size, _number(own_decisions["stated"]), _rate(own_decisions["fpir"]), _rate(own_decisions["fnir"]))
        )
        for entry in row.get("stated_false_match_rate", ()):
            stated.append(
                (
                    size,
                    f"{entry['stated']:g}",
                    f"{entry['threshold']:.4f}",
                    _rate(entry["observed"]),
                    _rate(entry["fnir"]),
                )
            )
    headings = ("gallery", "rank-1", *(f"FNIR at FPIR {fpir:g}" for fpir in fpirs))
    parts = [_rows("Identification", headings, rows)]
    headings = (
        "gallery",
        "stated false-match rate",
        "strangers matched (FPIR)",
        "enrolled people not matched first (FNIR)",
    )
    parts.append(_rows("Decisions of the system itself", headings, decided))
    if stated:
        headings = ("gallery", "stated false-match rate", "threshold", "observed", "FNIR")
        parts.append(_rows("Stated and observed false-match rate of a search", headings, stated))
    return [*parts, _charts(_gallery_charts(found, fnir_of, fpirs))]


def _gallery_charts(
    found: Sequence[dict[str, Any]], fnir_of: Sequence[dict[float, Any]], fpirs: Sequence[float]
) -> list[str]:
    cmc = {str(row["gallery"]): list(enumerate(row["cmc"], 1)) for row in found}
    at_ranks = {
        str(row["gallery"]): [_bar(point["rank"], _complement(point["missed"])) for point in row["cmc_missed"]]
        for row in found
    }
    fnir = {
        f"FPIR {fpir:g}": [
            (row["gallery"], rates[fpir]) for row, rates in zip(found, fnir_of, strict=True) if fpir in rates
        ]
        for fpir in fpirs
    }
    charts = [
        line_chart("CMC", cmc, x="rank", y="found", intervals=at_ranks),
        _by_size("FNIR by gallery size", fnir, y="FNIR"),
    ]
    if "fpir_at_threshold" in found[0]:
        fpir = {
            f"threshold {entry['threshold']:.3f}": [
                (row["gallery"], row["fpir_at_threshold"][index]["fpir"]) for row in found
            ]
            for index, entry in enumerate(found[0]["fpir_at_threshold"])
        }
        charts.append(_by_size("FPIR by gallery size", fpir, y="FPIR", log_y=True))
    return charts


def _by_size(title: str, rates: dict[str, list[tuple[int, Any]]], *, y: str, log_y: bool = False) -> str:
    lines = {name: [(size, rate["value"]) for size, rate in points] for name, points in rates.items()}
    bars = {name: [_bar(size, rate) for size, rate in points] for name, points in rates.items()}
    return line_chart(title, lines, x="gallery", y=y, log_x=True, log_y=log_y, intervals=bars)


def _event(found: dict[str, Any]) -> list[str]:
    shown = {name: _rate(value) if isinstance(value, dict) else value for name, value in found.items()}
    return [_table("Event", shown)]


def _calibration(found: dict[str, Any]) -> list[str]:
    rows = [(_rate({"value": row["fmr"], **row}), f"{row['cosine']:.4f}") for row in found["rates"]]
    line = {"": [(row["cosine"], row["fmr"]) for row in found["rates"]]}
    bars = {"": [(row["cosine"], row["low"], row["high"]) for row in found["rates"]]}
    chart = line_chart("False-match rate", line, x="cosine", y="FMR", log_y=True, intervals=bars)
    return [_rows(found["source"], ("false-match rate", "cosine"), rows), _charts([chart])]


def _packs(found: Sequence[dict[str, Any]]) -> list[str]:
    fars = list(dict.fromkeys(far for row in found for far in row["tar_at_far"]))
    rows = [
        (
            row["pack"],
            _rate(row["accuracy"]),
            _rate(row["gain"]),
            *(_rate(row["tar_at_far"].get(far)) for far in fars),
            f"{row['ms_a_photo']:.1f}",
            str(row["pairs_without_a_face"]),
        )
        for row in found
    ]
    headings = (
        "pack",
        "accuracy",
        "gain over the first",
        *(f"TAR at FAR {far}" for far in fars),
        "ms per photo",
        "pairs without a face",
    )
    return [_rows("Packs", headings, rows)]


def _quality(found: dict[str, Any]) -> list[str]:
    shown = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
    rows = [
        (
            name,
            *(_number(measured["curve"][index][rate]) for rate in ("fnmr", "fmr") for index in (0, -1)),
            *(_number(measured[f"mean_{rate}_of_start"]) for rate in ("fnmr", "fmr")),
        )
        for name, measured in found["measures"].items()
    ]
    headings = ("measure", "FNMR", "at the end", "FMR", "at the end", "mean FNMR / start", "mean FMR / start")
    charts = [
        line_chart(
            f"{rate.upper()} without the worst faces",
            {
                name: [(row["discarded"], row[rate]) for row in measured["curve"]]
                for name, measured in found["measures"].items()
            },
            x="share of faces discarded",
            y=rate.upper(),
        )
        for rate in ("fnmr", "fmr")
    ]
    return [_table("Quality", shown), _rows("Error versus discard", headings, rows), _charts(charts)]


_PARTS: dict[str, Callable[[Any], list[str]]] = {
    "verification": _pairs,
    "all_pairs": _all_pairs,
    "galleries": _galleries,
    "event": _event,
    "calibration": _calibration,
    "packs": _packs,
    "quality": _quality,
}
"""Renders each part of a result."""


def _charts(charts: Sequence[str]) -> str:
    return f'<div class="charts">{"".join(charts)}</div>'


def _table(title: str, values: dict[str, Any]) -> str:
    return _rows(title, ("", ""), [(str(key), _number(value)) for key, value in values.items()])


def _rows(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings) if any(headings) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _rate(rate: dict[str, Any] | None) -> str:
    if rate is None or rate["value"] is None:
        return "-"
    return f"{rate['value']:.4g} ({_number(rate['low'])} to {_number(rate['high'])})"


def _complement(rate: dict[str, Any]) -> dict[str, Any]:
    return {"value": 1 - rate["value"], "low": 1 - rate["high"], "high": 1 - rate["low"]}


def _bar(x: float, rate: dict[str, Any]) -> tuple[float, float | None, float | None]:
    return x, rate["low"], rate["high"]


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _failure(failure: dict[str, Any]) -> str:
    pictures = "".join(
        f"<span>{_picture(Path(picture['photo']), picture['box'])}<br>{escape(picture['caption'])}</span>"
        for picture in failure["pictures"]
    )
    return f'<div class="failure">{pictures}<br>{escape(failure["said"])}</div>'


def _picture(photo: Path, box: Sequence[float] | None) -> str:
    """Return an image element: the face with a margin, or the whole photo without a box; "" if it is unreadable."""
    try:
        with Image.open(photo) as image:
            if image.width * image.height > _MAX_PIXELS:
                return ""
            upright = ImageOps.exif_transpose(image)
            if box is not None:
                upright = upright.crop(_around(box, *upright.size))
            upright.thumbnail((_THUMBNAIL, _THUMBNAIL))
            buffer = io.BytesIO()
            upright.convert("RGB").save(buffer, "JPEG", quality=80)
    except (OSError, UnidentifiedImageError):
        return ""
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}" alt="">'


def _around(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    left, top, across, down = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(across, down) * (1 + 2 * _MARGIN)
    x, y = left + across / 2 - side / 2, top + down / 2 - side / 2
    right, bottom = min(width, round(x + side)), min(height, round(y + side))
    return max(0, min(round(x), right - 1)), max(0, min(round(y), bottom - 1)), right, bottom
