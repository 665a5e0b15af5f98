"""What 1,000 photos cost by the concurrent benchmark's throughput and the prices that the reference design names.

    python -m benchmarks.costs [RESULT]

Prices are a serverless provider's, as the reference design has them: a core $0.0000131 a second, a GiB $0.00000222 a
second; and $1 for 1,000 images at the cloud service that it replaces. For the host with eight cores the throughput is
multiplied by four: an extrapolation, not a measurement.
"""

import json
import sys
from pathlib import Path

CORE_S, GIB_S = 0.0000131, 0.00000222
CLOUD_PER_1000 = 1.0
GIB = 1.0
"""Of the host, with PostgreSQL's."""


def main() -> None:
    """Print a table."""
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results" / "layer3_concurrent.json"
    result = json.loads(given.read_text())
    cores = result["machine"]["cores"]
    print(
        "| photos | server | a second | dollars for 1,000 | of the cloud's price | a second on 8 cores (extrapolated) |"
    )
    print("|---|---|---|---|---|---|")
    for server, kinds in result["best_per_s"].items():
        for kind, per_s in kinds.items():
            cost = 1000 / per_s * (cores * CORE_S + GIB * GIB_S)
            share = cost / CLOUD_PER_1000
            print(f"| {kind} | {server} | {per_s:.1f} | {cost:.5f} | {share:.5f} | {per_s * 8 / cores:.0f} |")


if __name__ == "__main__":
    main()
