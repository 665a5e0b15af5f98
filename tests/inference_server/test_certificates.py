"""Mutual TLS: each side shows a certificate that the other side's authority has signed."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.errors import InferenceUnavailable, OperatorError
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer, client_of
from tests import pictures
from tests.inference_server.certificates import Authority
from tests.inference_server.servers import serving_inference, settings_of_server
from tests.inference_server.test_same_faces import assert_same


class Sides:
    """A server with a certificate, and settings of clients of it."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.directory = directory
        self.settings = settings
        self.ours, self.foreign = Authority(directory, "ours"), Authority(directory, "foreign")
        self.server_cert, self.server_key = self.ours.sign("server")
        self.client_cert, self.client_key = self.ours.sign("client")
        self.address = ""

    def client(self, **files: Path | None) -> FaceAnalyzer:
        chosen: dict[str, Path | None] = {
            "inference_ca_file": self.ours.file,
            "inference_cert_file": self.client_cert,
            "inference_key_file": self.client_key,
            **files,
        }
        values = {**self.settings.model_dump(), **chosen, "inference_url": self.address, "inference_timeout_s": 2}
        return build_analyzer(Settings.model_validate(values))


@pytest.fixture(scope="module")
def sides(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    sides = Sides(settings, tmp_path_factory.mktemp("certificates"))
    env = {
        **settings_of_server(settings),
        "VULTUS_INFERENCE_CA_FILE": str(sides.ours.file),
        "VULTUS_INFERENCE_CERT_FILE": str(sides.server_cert),
        "VULTUS_INFERENCE_KEY_FILE": str(sides.server_key),
    }
    context = ssl.create_default_context(cafile=sides.ours.file)
    context.load_cert_chain(sides.client_cert, sides.client_key)
    with serving_inference(env, tls=context) as (sides.address, _):
        yield sides


def close(analyzer: FaceAnalyzer) -> None:
    client = client_of(analyzer)
    assert client is not None
    client.close()


def test_a_client_with_a_certificate_is_served(sides: Sides, analyzer: FaceAnalyzer) -> None:
    remote = sides.client()
    remote.warm_up()
    photo = pictures.group(1, 2)
    assert_same(analyzer.analyze(photo, Embed.ALL), remote.analyze(photo, Embed.ALL))
    close(remote)


def test_a_client_without_a_certificate_or_with_a_foreign_one_is_not(sides: Sides) -> None:
    cert, key = sides.foreign.sign("stranger")
    for files in (
        {"inference_cert_file": None, "inference_key_file": None},
        {"inference_cert_file": cert, "inference_key_file": key},
    ):
        remote = sides.client(**files)
        with pytest.raises(InferenceUnavailable):
            remote.analyze(pictures.photo(1), Embed.ALL)
        close(remote)


def test_a_server_that_a_foreign_authority_signed_is_refused(sides: Sides) -> None:
    remote = sides.client(inference_ca_file=sides.foreign.file)
    with pytest.raises(InferenceUnavailable):
        remote.analyze(pictures.photo(1), Embed.ALL)
    close(remote)


def test_without_tls_nothing_is_answered(sides: Sides) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{sides.address.replace('https', 'http')}/info")


def test_files_that_are_no_certificates_stop_the_start(sides: Sides, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    with pytest.raises(OperatorError, match="VULTUS_INFERENCE_CA_FILE"):
        sides.client(inference_ca_file=text)
    with pytest.raises(OperatorError, match="VULTUS_INFERENCE_CERT_FILE"):
        sides.client(inference_key_file=text)
