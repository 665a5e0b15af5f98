"""More photos at a time than can be served: who is sent away is told so at once, comes again, and is served."""

import concurrent.futures
import threading
from typing import Any

import pytest

from tests import pictures
from tests.rekognition.conftest import Tenant

CLIENTS = 16


@pytest.mark.parametrize(("mode", "attempts"), [("legacy", 9), ("standard", 12)])
def test_throttled_clients_recover_by_their_own_retries(strict_tenant: Tenant, mode: str, attempts: int) -> None:
    """The legacy mode doubles its pauses without a limit: the ninth attempt comes after two minutes on average."""
    photo = pictures.photo(1)
    together = threading.Barrier(CLIENTS)

    def ask(client: Any) -> tuple[str, int]:
        together.wait()
        try:
            answer = client.detect_faces(Image={"Bytes": photo})
        except client.exceptions.ThrottlingException as exc:
            return "throttled", exc.response["ResponseMetadata"]["RetryAttempts"]
        assert len(answer["FaceDetails"]) == 1
        return "served", answer["ResponseMetadata"]["RetryAttempts"]

    def ask_all(**config: Any) -> list[tuple[str, int]]:
        clients = [strict_tenant.client(config=config) for _ in range(CLIENTS)]
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(ask, clients))

    impatient = ask_all(retries={"total_max_attempts": 1})
    assert {outcome for outcome, _ in impatient} == {"served", "throttled"}
    patient = ask_all(retries={"mode": mode, "total_max_attempts": attempts})
    assert {outcome for outcome, _ in patient} == {"served"}
    assert sum(attempts for _, attempts in patient) > 0
