"""Plot the results of layer 1: search times by size and strategy, and the mates that each design returns.

python -m benchmarks.layer1_plots [RESULT.json]
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
NAMES = {
    "chosen": "Vultus, chosen strategy",
    "exact": "exact in SQL",
    "codes": "codes in SQL",
    "cached_codes": "codes in memory",
    "graph": "HNSW m=24, own graph",
    "array_python_loop": "ARRAY and a Python loop",
    "faiss_fp16_flat": "faiss fp16 flat, no database",
}
TARGETS = [(1_000, 20_000, 10), (20_000, 100_000, 15), (100_000, 1_000_000, 25)]


def main() -> None:
    """Write two plots next to the result file."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS / "layer1_database.json"
    result = json.loads(source.read_text())
    draw_times(result, source.with_name("layer1_times.png"))
    draw_recall(result, source.with_name("layer1_recall.png"))


def draw_times(result: dict[str, Any], path: Path) -> None:
    """Plot p95 by the size of the collection."""
    figure, axes = plt.subplots(figsize=(8, 5), dpi=110)
    for name, label in NAMES.items():
        points = [(int(size), row[name]["p95_ms"]) for size, row in result["sizes"].items() if name in row]
        style: dict[str, Any] = (
            {"linewidth": 3, "color": "black"} if name == "chosen" else {"marker": "o", "markersize": 4}
        )
        if points:
            sizes, times = zip(*points, strict=True)
            axes.plot(sizes, times, label=label, **style)
    for low, high, target_ms in TARGETS:
        axes.hlines(target_ms, low, high, colors="gray", linestyles="dashed")
    axes.set(xscale="log", yscale="log", xlabel="templates in the collection", ylabel="p95 of a search, ms")
    axes.set_title(f"One collection, {result['in_flight']} searches in flight ({result['commit']})")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def draw_recall(result: dict[str, Any], path: Path) -> None:
    """Plot the share of true mates returned, by Vultus and by the shared index."""
    rows = [
        (NAMES[name] if name == "chosen" else f"Vultus, {NAMES[name]}", row)
        for name, row in result["many"]["by_strategy"].items()
    ]
    rows += [(f"shared HNSW m=16: {name}", row) for name, row in result["shared_index"].items()]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.2), dpi=110)
    for index, (label, row) in enumerate(reversed(rows)):
        value = row["mates_0.4"]
        if value is not None:
            axes.barh(index, value, color="tab:blue" if label.startswith("Vultus") else "tab:orange")
            axes.text(min(value, 0.9) + 0.005, index, f"{value:.4g}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [label for label, _ in reversed(rows)], fontsize=7)
    axes.set(xlim=(0, 1.02), xlabel="true mates returned, cosine 0.4 or more")
    axes.set_title(f"{result['many']['collections']:,} collections, {result['many']['templates']:,} templates")
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
