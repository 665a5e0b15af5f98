"""The Modal app: what it asks Modal for, and its handler, run here on a photo. Nothing is sent to Modal."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from app.errors import OperatorError
from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.finding import Embeddable
from app.ml.remote.wire import PHOTOS_TYPE, Answer, pack_call, unpack_embedding
from app.settings import Settings, load_settings
from tests import pictures
from tests.deploy.proxies import ROOT
from tests.inference_server.servers import TOKEN, settings_of_server
from tests.inference_server.test_calls import order


@pytest.fixture(scope="module")
def modal_app(synthetic_pack: Path) -> Iterator[ModuleType]:
    """The module, deployed from a host that is configured with the synthetic pack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VULTUS_MODEL_PACK", str(synthetic_pack))
        spec = importlib.util.spec_from_file_location("modal_app", ROOT / "deploy" / "modal_app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["modal_app"] = module
        spec.loader.exec_module(module)
        yield module
        del sys.modules["modal_app"]


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment that the image and the secret make in a container."""
    for name, value in {**settings_of_server(settings), "VULTUS_INFERENCE_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


async def test_its_handler_finds_the_faces_that_are_found_here(
    modal_app: ModuleType, environment: None, analyzer: FaceAnalyzer
) -> None:
    """Modal runs `load` before it stores the memory, and `serve` in every container; `local` does both here."""
    application = modal_app.Inference().serve.local()
    photo, recognizer = pictures.group(1, 2), analyzer.engine.info.recognizer
    body = pack_call([order(photo, recognizer, embeddable=Embeddable.ALL)], [photo])
    headers = {"content-type": PHOTOS_TYPE, "authorization": f"Bearer {TOKEN}"}
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="https://vultus.modal.run") as client,
    ):
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert (await client.post("/extract", content=body, headers={"content-type": PHOTOS_TYPE})).status_code == 401
        answer = await client.post("/extract", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    (one,) = Answer.model_validate_json(answer.content).photos
    assert one.found is not None
    here = analyzer.analyze(photo, Embed.ALL)
    assert len(one.found.faces) == len(here.faces) == 2
    for face, embedding in zip(one.found.faces, here.embeddings, strict=True):
        assert face.embedded is not None
        assert abs(unpack_embedding(face.embedded.embedding, 512) - embedding).max() < 1e-5


def test_it_does_not_serve_without_a_token(
    modal_app: ModuleType, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VULTUS_INFERENCE_TOKEN")
    load_settings.cache_clear()
    with pytest.raises(OperatorError, match="VULTUS_INFERENCE_TOKEN"):
        modal_app.Inference().serve.local()


def test_its_containers_are_bounded_and_start_from_a_snapshot(modal_app: ModuleType) -> None:
    """Modal's own objects keep these only for its servers, so the source says it."""
    source = (ROOT / "deploy" / "modal_app.py").read_text()
    for said in ("min_containers=0", "max_containers=MAX_CONTAINERS", "enable_memory_snapshot=True", "snap=True"):
        assert said in source
    assert 1 <= modal_app.MAX_CONTAINERS <= 100
    names = set(re.findall(r"VULTUS_\w+", source))
    assert names <= {f"VULTUS_{field.upper()}" for field in Settings.model_fields}


def test_secrets_come_from_modal_only(modal_app: ModuleType) -> None:
    """No value of the deploying host is copied into the image, above all no secret."""
    source = (ROOT / "deploy" / "modal_app.py").read_text()
    assert re.findall(r"os\.environ\S*", source) == ['os.environ.get("VULTUS_MODEL_PACK",']
    assert 'Secret.from_name("vultus-inference"' in source
