"""Whether the memory of a worker grows with the photos that it has processed."""

import time
from typing import Any

import numpy as np
import psutil

from benchmarks.albums.stage import Stage
from benchmarks.goals import at_most

PHOTOS = 6_000
WARM = 2_000
"""Photos after which the networks' and the allocator's memory is in use."""


def measure_memory(stage: Stage) -> dict[str, Any]:
    """Fit a line through the worker's memory over the photos processed, after the first ones."""
    samples = list[tuple[int, float]]()
    with stage.serving() as api:
        tenant = stage.new_tenant(api)
        stage.fill(api, tenant, stage.new_album(api, tenant), PHOTOS - 1, with_objects=PHOTOS - 1)
        with stage.working() as worker:
            process = psutil.Process(worker.pid)
            while not samples or samples[-1][0] < PHOTOS:
                done = "SELECT count(*) FROM photos WHERE tenant_id = $1 AND state = 'done'"
                samples.append((stage.ask(done, tenant.id)[0][0], process.memory_info().rss / 2**20))
                time.sleep(0.5)
    late = np.array([one for one in samples if one[0] >= WARM])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0])
    return {
        "photos": PHOTOS,
        "fitted_from": WARM,
        "mib": {"at_the_start_of_the_fit": round(late[0, 1], 1), "at_the_end": round(late[-1, 1], 1)},
        "largest_mib": round(max(one[1] for one in samples), 1),
        "goals": [at_most("growth of a worker per 1,000 photos", 1, round(1000 * slope, 3), "MiB")],
    }
