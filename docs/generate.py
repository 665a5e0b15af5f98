"""Write the references that come from the code: `python docs/generate.py` (`make reference`). Tests compare them.

`vultus settings --format markdown` writes the settings reference.
"""

import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client.parser import text_string_to_metric_families

from app.errors.reference import list_error_codes
from app.telemetry import metrics

REFERENCE = Path(__file__).resolve().parent / "reference"
_METRICS_HEAD = """\
<!-- Written by `make reference` from app/telemetry/metrics.py; edit the texts there. -->

# Metrics

`GET /metrics` answers in Prometheus's text format, with `VULTUS_METRICS_TOKEN` as bearer token. No label names a
tenant or a person. Several workers, and `vultus worker` on the same data directory, are added up.
[Watch the service](../how-to/watch-the-service.md) has alerts and a dashboard.

"""
_ERRORS_HEAD = """\
<!-- Written by `make reference` from app/errors and docs/generate.py; edit the texts there. -->

# Error codes

Every error of the REST API is `application/problem+json` (RFC 9457):

```json
{"type": "/docs/errors#face_too_small", "title": "...", "status": 422, "detail": "...",
 "code": "face_too_small", "request_id": "6f1c0e8a2b7d4c55",
 "errors": [{"field": "images", "index": 1, "detail": "..."}]}
```

- `type` is a page of the server that answered: every code, its meaning and what to do.
- `code` is stable: let programs decide by it. `title` and `detail` are for people and may change.
- `detail` says what was wrong and, where it applies, the field, the value and the limit. `errors` lists each invalid
  field or image. `index` counts the images of a field from 0, if several were sent.
- `request_id` finds the request in the server's log. It is also in the header `x-request-id`.
- `Retry-After` says when to try again, with 429 and 503.
- Batch routes answer 200 with one item per photo. An item has an `answer`, or a `problem` with `status`, `code`,
  `detail`, `field` and `index`.

The Rekognition protocol answers with AWS's codes and puts these into `Reason` ([errors there](rekognition.md)).
The CompreFace protocol has numeric codes, and puts these into `reason` ([errors there](compreface.md)).

## Photos without faces

- `detect`, `extract` and `recognize`, and their batches, look for faces: 200, and `faces` is empty.
- `register/all` stores every face that it finds: 200, and `stored` is empty. It is 201 if the photo has a stored face.
- `register`, `verify` and `compare` need a face: 422 `no_face`, and `errors` names the field.
- `compare/batch` needs a face in the source, likewise. A target without a face has a `problem` with `no_face`.

`register/all` counts among the routes that look: an album has photos without people, which are no mistake. It answers
200 instead of 201 whenever no face of the photo is stored, also if each one was skipped.

"""
_ERRORS_TAIL = """\
## Commands

The `vultus` command prints errors on stderr and exits with 0 (done), 1 (not done) or 2 (wrong usage).
"""
_WIDTH = 119


def render_metrics() -> str:
    """Return the metrics reference: every metric with its type, labels and meaning."""
    tables = [_METRICS_HEAD]
    described = sorted([*metrics.describe(), *_describe_queue()])
    for kind in sorted({one[1] for one in described}):
        tables.append(f"## {kind.capitalize()}s\n\n| metric | labels | meaning |\n|---|---|---|\n")
        for name, _, labels, text in (one for one in described if one[1] == kind):
            tables.append(f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {text} |\n")
        tables.append("\n")
    return "".join(tables).rstrip() + "\n"


def _describe_queue() -> list[tuple[str, str, tuple[str, ...], str]]:
    families = text_string_to_metric_families(metrics.expose_queue(0, 0, 0.0, 0).decode())
    return [(family.name, family.type, (), family.documentation) for family in families]


def render_errors() -> str:
    """Return the reference of error codes: a heading for each, so that a link leads to it."""
    parts = [_ERRORS_HEAD]
    for topic, codes in list_error_codes().items():
        parts.append(f"## {topic}\n\n")
        for one in codes:
            text = f"Status {one.status}. {one.meaning} {one.remedy}"
            parts.append(f"### `{one.code}`\n\n{textwrap.fill(text, _WIDTH, break_on_hyphens=False)}\n\n")
    return "".join(parts) + _ERRORS_TAIL


PAGES = {"errors.md": render_errors, "metrics.md": render_metrics}


def main() -> None:
    for name, render in PAGES.items():
        (REFERENCE / name).write_text(render())


if __name__ == "__main__":
    main()
