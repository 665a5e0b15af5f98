"""Plot the results over HTTP: the stages of a request (layer 2), throughput and latency under load (layer 3).

python -m benchmarks.layer3_plots [DIRECTORY]

It reads `layer2_sequential.json` and `layer3_concurrent.json` if they exist, and writes the plots next to them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
SERVERS = {"vultus": ("Vultus", "black"), "reference": ("reference server", "tab:orange")}
STAGES = {
    "receive": "#9ecae1",
    "wait": "#c7e9c0",
    "decode": "#fdd0a2",
    "detect": "#fd8d3c",
    "align": "#fdae6b",
    "embed": "#d94801",
    "search": "#756bb1",
    "serialize": "#bcbddc",
}


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    sequential, concurrent = directory / "layer2_sequential.json", directory / "layer3_concurrent.json"
    if sequential.exists():
        draw_stages(json.loads(sequential.read_text()), directory / "layer2_stages.png")
    if concurrent.exists():
        result = json.loads(concurrent.read_text())
        draw_by_clients(result, "per_s", "responses with status 200 per second", directory / "layer3_throughput.png")
        draw_by_clients(result, "p95_ms", "p95, ms", directory / "layer3_p95.png")


def draw_stages(result: dict[str, Any], path: Path) -> None:
    """Plot the stages of a request, next to the total time of the reference server."""
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    kinds = list(result["kinds"])
    labeled = set()
    for index, kind in enumerate(kinds):
        vultus = result["kinds"][kind]["vultus"]
        bottom = 0.0
        rest = {
            "no stage": vultus.get("in_no_stage_p50_ms", 0.0),
            "outside": vultus.get("outside_the_server_p50_ms", 0.0),
        }
        for stage, value in {**vultus.get("stages_p50_ms", {}), **rest}.items():
            if stage == "total":
                continue
            label = None if stage in labeled else stage
            labeled.add(stage)
            axes.bar(index - 0.2, value, 0.38, bottom=bottom, color=STAGES.get(stage, _gray(stage)), label=label)
            bottom += value
        total = result["kinds"][kind]["reference"]["p50_ms"]
        axes.bar(
            index + 0.2,
            total,
            0.38,
            color="white",
            edgecolor="tab:orange",
            hatch="//",
            label=None if index else "reference server, total",
        )
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(ylabel="p50, ms")
    axes.set_title(f"POST /recognize, one request at a time ({result['pack']}, {result['commit']})")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def draw_by_clients(result: dict[str, Any], key: str, label: str, path: Path) -> None:
    """Plot one figure by the number of clients, with the number of workers that had the highest throughput."""
    figure, axes = plt.subplots(figsize=(7, 4.5), dpi=110)
    cells = [cell for cell in result["cells"] if cell["kind"] == "lfw"]
    for name, (title, color) in SERVERS.items():
        rows = [cell for cell in cells if cell["server"] == name]
        best = max(rows, key=lambda cell: float(cell["per_s"]))["workers"]
        points = [(cell["clients"], cell[key]) for cell in rows if cell["workers"] == best and cell[key] is not None]
        clients, values = zip(*sorted(points), strict=True)
        axes.plot(clients, values, marker="o", color=color, label=f"{title}, workers: {best}")
    if key == "per_s":
        axes.axhline(result["bare_networks_per_s"]["lfw"], color="gray", linestyle="dashed", label="bare networks")
        axes.set_ylim(bottom=0)
    axes.set(xscale="log", xlabel="clients", ylabel=label)
    ticks = sorted({cell["clients"] for cell in cells})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_title(f"POST /recognize, 250x250 photos ({result['pack']}, {result['commit']})")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def _gray(stage: str) -> str:
    return "#d9d9d9" if stage == "outside" else "#969696"


if __name__ == "__main__":
    main()
