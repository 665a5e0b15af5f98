"""One inference server for the tests that only ask it, and an analyzer that uses it."""

from collections.abc import Iterator

import pytest

from app.ml.analysis import FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer, client_of
from tests.inference_server.servers import TOKEN, serving_inference, settings_of_server


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    with serving_inference({**settings_of_server(settings), "VULTUS_INFERENCE_TOKEN": TOKEN}) as (address, _):
        yield address


@pytest.fixture(scope="module")
def elsewhere(settings: Settings, server: str) -> Settings:
    """Settings of a Vultus whose networks are at the server."""
    return Settings.model_validate(
        {**settings.model_dump(), "inference_url": server, "inference_token": TOKEN, "inference_timeout_s": 20}
    )


@pytest.fixture(scope="module")
def remote(elsewhere: Settings) -> Iterator[FaceAnalyzer]:
    analyzer = build_analyzer(elsewhere)
    analyzer.warm_up()
    yield analyzer
    client = client_of(analyzer)
    assert client is not None
    client.close()
