"""Print the tables of layers 2 and 3 of PERFORMANCE.md from the result files.

python -m benchmarks.layer3_tables
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
STAGES = ("receive", "wait", "decode", "detect", "align", "embed", "search", "serialize")


def main() -> None:
    """Print Markdown to stdout."""
    sequential, concurrent = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("layer2_sequential", "layer3_concurrent")
    )
    _stages(sequential)
    _matrix(concurrent["cells"])
    _kinds(concurrent)
    _overload(concurrent["overload"])


def _stages(result: dict[str, Any]) -> None:
    print(f"Layer 2, commit {result['commit']}, {result['rounds']} rounds\n")
    columns = ["photo", *STAGES, "no stage", "outside the server", "total", "other than inference", "reference"]
    _head(columns)
    for kind, servers in result["kinds"].items():
        vultus = servers["vultus"]
        stages = [vultus["stages_p50_ms"][stage] for stage in STAGES]
        rest = [vultus["in_no_stage_p50_ms"], vultus["outside_the_server_p50_ms"], vultus["p50_ms"]]
        _row([kind, *stages, *rest, vultus["not_inference_p50_ms"], servers["reference"]["p50_ms"]])


def _matrix(cells: list[dict[str, Any]]) -> None:
    print("\nLayer 3, by clients and workers\n")
    _head(["clients", "workers", "Vultus", "ms", "memory, MB", "reference", "ms", "memory, MB"])
    lfw = [cell for cell in cells if cell["kind"] == "lfw"]
    for vultus in (cell for cell in lfw if cell["server"] == "vultus"):
        size = (vultus["clients"], vultus["workers"])
        reference = next(
            cell for cell in lfw if cell["server"] != "vultus" and (cell["clients"], cell["workers"]) == size
        )
        _row(
            [
                *size,
                *(value for cell in (vultus, reference) for value in (cell["per_s"], _times(cell), cell["memory_mb"])),
            ]
        )


def _kinds(result: dict[str, Any]) -> None:
    print("\nBy photo: the best cells with any number of clients, and with 8\n")
    _head(
        [
            "photo",
            "Vultus",
            "reference",
            "ratio of best cells",
            "ratio at 8 clients",
            "p95 ratio",
            "bare networks",
            "share of bare",
        ]
    )
    for kind, bare in result["bare_networks_per_s"].items():
        best = {server: result["best_per_s"][server][kind] for server in ("vultus", "reference")}
        at_8 = {
            server: max(
                (
                    cell
                    for cell in result["cells"]
                    if (cell["kind"], cell["clients"], cell["server"]) == (kind, 8, server)
                ),
                key=lambda cell: cell["per_s"],
            )
            for server in ("vultus", "reference")
        }
        vultus, reference = at_8["vultus"], at_8["reference"]
        _row(
            [
                kind,
                best["vultus"],
                best["reference"],
                round(best["vultus"] / best["reference"], 2),
                round(vultus["per_s"] / reference["per_s"], 2),
                round(vultus["p95_ms"] / reference["p95_ms"], 2),
                bare,
                round(best["vultus"] / bare, 2),
            ]
        )


def _overload(cells: list[dict[str, Any]]) -> None:
    print("\nOverload\n")
    _head(
        [
            "clients",
            "workers",
            "retry",
            "responses/s",
            "share of best cell with same workers",
            "p95, ms",
            "refused",
            "p99 of refusals, ms",
            "/healthz p99, ms",
        ]
    )
    for cell in cells:
        _row(
            [
                cell["clients"],
                cell["workers"],
                "after Retry-After" if cell["obeys_retry_after"] else "at once",
                cell["per_s"],
                cell["goodput_of_best_with_same_workers"],
                round(cell["p95_ms"]),
                cell["answered_503"],
                cell["p99_of_503_ms"] or "",
                cell["healthz_p99_ms"],
            ]
        )


def _times(cell: dict[str, Any]) -> str:
    return " / ".join(str(round(cell[f"p{part}_ms"])) for part in (50, 95, 99))


def _head(columns: list[str]) -> None:
    _row(columns)
    print("|" + "---|" * len(columns))


def _row(values: list[Any]) -> None:
    print("| " + " | ".join(str(value) for value in values) + " |")


if __name__ == "__main__":
    main()
