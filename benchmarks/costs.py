"""Compute the cost of 1,000 photos from the throughput of layer 3 and the prices of the reference design.

    python -m benchmarks.costs [RESULT]

The prices are those of a serverless provider: $0.0000131 per core and second, $0.00000222 per GiB and second. The cloud
service for comparison takes $1 per 1,000 images. The column for eight cores multiplies the throughput by four: it is an
extrapolation, not a measurement.
"""

import json
import sys
from pathlib import Path

CORE_S, GIB_S = 0.0000131, 0.00000222
CLOUD_PER_1000 = 1.0
GIB = 1.0
"""Memory of the host, including PostgreSQL."""


def main() -> None:
    """Print the table of PERFORMANCE.md."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results" / "layer3_concurrent.json"
    result = json.loads(source.read_text())
    cores = result["machine"]["cores"]
    print(
        "| photos | server | photos/s | dollars per 1,000 | share of cloud price | photos/s, 8 cores (extrapolated) |"
    )
    print("|---|---|---|---|---|---|")
    for server, kinds in result["best_per_s"].items():
        for kind, per_s in kinds.items():
            cost = 1000 / per_s * (cores * CORE_S + GIB * GIB_S)
            share = cost / CLOUD_PER_1000
            print(f"| {kind} | {server} | {per_s:.1f} | {cost:.5f} | {share:.5f} | {per_s * 8 / cores:.0f} |")


if __name__ == "__main__":
    main()
