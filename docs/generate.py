"""Write the references that come from the code: `python docs/generate.py` (`make reference`). Tests compare them.

`vultus settings --format markdown` writes the settings reference.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client.parser import text_string_to_metric_families

from app.telemetry import metrics

REFERENCE = Path(__file__).resolve().parent / "reference"
_METRICS_HEAD = """\
<!-- Written by `make reference` from app/telemetry/metrics.py; edit the texts there. -->

# Metrics

`GET /metrics` answers in Prometheus's text format, with `VULTUS_METRICS_TOKEN` as bearer token. No label names a
tenant or a person. Several workers, and `vultus worker` on the same data directory, are added up.
[Watch the service](../how-to/watch-the-service.md) has alerts and a dashboard.

"""


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


PAGES = {"metrics.md": render_metrics}


def main() -> None:
    for name, render in PAGES.items():
        (REFERENCE / name).write_text(render())


if __name__ == "__main__":
    main()
