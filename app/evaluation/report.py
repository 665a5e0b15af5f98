"""A run's result as JSON, and as one HTML page that needs nothing else; pictures of faces only where asked for."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from app.evaluation.charts import histogram_chart, line_chart

_THUMBNAIL = 96
_STYLE = (
    "body{font:14px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.charts{display:flex;flex-wrap:wrap;gap:1em}svg{width:460px}"
    ".pair{display:inline-block;margin:.4em;text-align:center;font-size:11px}.pair img{height:96px;margin:1px}"
)


def write_report(directory: Path, result: dict[str, Any], *, with_pictures: bool) -> tuple[Path, Path]:
    """`report.json` and `report.html` in a directory; the JSON never holds a picture."""
    directory.mkdir(parents=True, exist_ok=True)
    text, page = directory / "report.json", directory / "report.html"
    text.write_text(json.dumps(result, indent=1, default=str) + "\n")
    page.touch(mode=0o600 if with_pictures else 0o644)
    page.write_text(render(result, with_pictures=with_pictures))
    return text, page


def render(result: dict[str, Any], *, with_pictures: bool) -> str:
    """The page."""
    parts = [f"<h1>{escape(result['kind'])}</h1>", _table("What was evaluated", result["about"])]
    for name in ("verification", "all_pairs"):
        if name in result:
            parts += _verification(name, result[name], with_pictures=with_pictures)
    if "galleries" in result:
        parts += _galleries(result["galleries"])
    if "event" in result:
        parts.append(_table("Event", result["event"]))
    if "calibration" in result:
        parts.append(_table("Calibration", result["calibration"]))
    return f"<!doctype html><meta charset=utf-8><title>Vultus evaluation</title><style>{_STYLE}</style>{''.join(parts)}"


def _verification(name: str, found: dict[str, Any], *, with_pictures: bool) -> list[str]:
    title = "Pairs" if name == "verification" else "Every pair of photos"
    shown = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
    if "accuracy" in found:
        shown["accuracy"] = _rate(found["accuracy"])
    parts = [_table(title, shown)]
    rows = [(f"{row['far']:g}", f"{row['threshold']:.4f}", _rate(row["tar"])) for row in found["tar_at_far"]]
    parts.append(_rows("True accept rate at fixed false accept rate", ("FAR", "threshold", "TAR"), rows))
    if found.get("stated_fmr"):
        rows = [
            (f"{row['stated']:g}", f"{row['threshold']:.4f}", _rate(row["observed"]))
            for row in found["stated_fmr"]["rates"]
        ]
        parts.append(_rows("Stated and observed false-match rate", ("stated", "threshold", "observed"), rows))
    curve = found["curve"]
    parts.append('<div class="charts">')
    parts.append(
        line_chart("DET", {"": [(fmr, fnmr) for _, fmr, fnmr in curve]}, x="FMR", y="FNMR", log_x=True, log_y=True)
    )
    parts.append(line_chart("ROC", {"": [(fmr, 1 - fnmr) for _, fmr, fnmr in curve]}, x="FMR", y="TAR", log_x=True))
    bins = found["histogram"]
    counts = {"same person": bins["genuine"], "different people": bins["impostors"]}
    parts.append(histogram_chart("Similarities", bins["edges"], counts, x="similarity"))
    parts.append("</div>")
    if found.get("groups"):
        parts += _groups(found["groups"])
    if with_pictures and found.get("worst"):
        parts.append("<h2>Most wrong</h2>" + "".join(_pair(pair) for pair in found["worst"]))
    return parts


def _groups(found: dict[str, Any]) -> list[str]:
    rows = [
        (group, _number(row["fmr"]), _number(row["fnmr"]), str(row["impostors"]), str(row["genuine"]))
        for group, row in found["groups"].items()
    ]
    ratios = {f"largest ratio of {name.upper()}": _number(value) for name, value in found["largest_ratio"].items()}
    return [
        _rows(
            f"By group, at {found['threshold']:.4f}", ("group", "FMR", "FNMR", "impostor pairs", "genuine pairs"), rows
        ),
        _table("Between groups", ratios),
    ]


def _galleries(found: Sequence[dict[str, Any]]) -> list[str]:
    rows, stated = [], []
    # Where strangers are few, a rate that others have is missing.
    fnir_of = [{entry["fpir"]: entry["fnir"] for entry in row["fnir_at_fpir"]} for row in found]
    fpirs = sorted({fpir for own in fnir_of for fpir in own}, reverse=True)
    for row, own in zip(found, fnir_of, strict=True):
        missed = row["rank_1_missed"]
        rank_1 = f"{1 - missed['value']:.4f} ({1 - missed['high']:.4f} to {1 - missed['low']:.4f})"
        rows.append((str(row["gallery"]), rank_1, *(_rate(own[fpir]) if fpir in own else "" for fpir in fpirs)))
        for entry in row.get("stated_false_match_rate", ()):
            stated.append(
                (str(row["gallery"]), f"{entry['stated']:g}", f"{entry['threshold']:.4f}", _rate(entry["observed"]))
            )
    heads = ("gallery", "rank-1", *(f"FNIR at FPIR {fpir:g}" for fpir in fpirs))
    parts = [_rows("Identification", heads, rows)]
    if stated:
        heads = ("gallery", "stated false-match rate", "threshold", "observed")
        parts.append(_rows("Stated and observed false-match rate of a search", heads, stated))
    cmc = {str(row["gallery"]): list(enumerate(row["cmc"], 1)) for row in found}
    fnir = {
        f"FPIR {fpir:g}": [
            (row["gallery"], own[fpir]["value"]) for row, own in zip(found, fnir_of, strict=True) if fpir in own
        ]
        for fpir in fpirs
    }
    charts = line_chart("CMC", cmc, x="rank", y="found") + line_chart(
        "FNIR by gallery size", fnir, x="gallery", y="FNIR", log_x=True
    )
    if "fpir_at_threshold" in found[0]:
        fpir = {
            f"threshold {entry['threshold']:.3f}": [
                (row["gallery"], row["fpir_at_threshold"][index]["fpir"]["value"]) for row in found
            ]
            for index, entry in enumerate(found[0]["fpir_at_threshold"])
        }
        charts += line_chart("FPIR by gallery size", fpir, x="gallery", y="FPIR", log_x=True, log_y=True)
    return [*parts, f'<div class="charts">{charts}</div>']


def _table(title: str, values: dict[str, Any]) -> str:
    return _rows(title, ("", ""), [(str(key), _number(value)) for key, value in values.items()])


def _rows(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _rate(rate: dict[str, Any]) -> str:
    return f"{rate['value']:.4g} ({rate['low']:.4g} to {rate['high']:.4g})"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pair(pair: dict[str, Any]) -> str:
    said = "same person" if pair["is_same"] else "different people"
    similarity = f"{pair['similarity']:.3f}" if pair["similarity"] is not None else "no face"
    pictures = "".join(_picture(Path(pair[name])) for name in ("first", "second"))
    return f'<div class="pair">{pictures}<br>{said}, {similarity}</div>'


def _picture(photo: Path) -> str:
    try:
        with Image.open(photo) as image:
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((_THUMBNAIL, _THUMBNAIL))
            buffer = io.BytesIO()
            upright.convert("RGB").save(buffer, "JPEG", quality=80)
    except (OSError, UnidentifiedImageError):
        return ""
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}" alt="">'
