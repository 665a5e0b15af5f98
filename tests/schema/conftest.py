"""The real server on a real PostgreSQL, and a caller of every role."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.schema.callers import Stage
from tests.servers import serving

OPERATOR_TOKEN = "an operator token for tests, 32 bytes or more"
METRICS_TOKEN = "a metrics token for tests, 32 bytes or more"
SECRET = "a secret for tests only, 32 bytes or more"


@pytest.fixture(autouse=True)
def closed_sessions() -> Iterator[None]:
    """Close the connections that schemathesis leaves open, which other tests would otherwise be blamed for.

    Its check of ignored credentials sends each request in a session of its own, and drops it.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def stage(data_dir: Path, database_url: str, service_url: str, synthetic_pack: Path) -> Iterator[Stage]:
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_DATABASE_ADMIN_URL": database_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "1000000/minute",
        "VULTUS_LOG_LEVEL": "warning",
        "VULTUS_ALBUM_WORKER": "false",  # it would change rows that no caller may change
        "VULTUS_SECRET_KEY": SECRET,
        "VULTUS_OPERATOR_TOKEN": OPERATOR_TOKEN,
        "VULTUS_METRICS_TOKEN": METRICS_TOKEN,
        "VULTUS_MAX_IMAGE_BYTES": "2097152",
        "VULTUS_MAX_REQUEST_BYTES": "8388608",
    }
    with serving(1, **env) as (base, _):
        stage = Stage(base, operator_token=OPERATOR_TOKEN, metrics_token=METRICS_TOKEN)
        with stage.session:
            yield stage
