"""Where model packs are found, what they say, and when they are refused."""

import hashlib
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest

from app.domain.decisions import Calibration
from app.errors import ModelPackRefused, ModelPackUnavailable
from app.ml.digests import sha256_of
from app.ml.packs.download import download_networks
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import CAUTIOUS_THRESHOLD, write_calibration
from app.ml.published import PUBLISHED
from tests.attribute_network import FILE, add_attribute_network, build_attribute_network


@pytest.fixture
def library(tmp_path: Path) -> PackLibrary:
    return PackLibrary(cache=tmp_path / "cache", data_dir=tmp_path / "data")


@pytest.fixture
def bare_pack(tmp_path: Path, synthetic_pack: Path) -> Path:
    """A pack without a manifest, as InsightFace lays them out."""
    directory = tmp_path / "mine"
    directory.mkdir()
    for file in synthetic_pack.glob("*.onnx"):
        shutil.copy(file, directory)
    return directory


def test_a_directory_comes_first(library: PackLibrary, synthetic_pack: Path) -> None:
    pack = library.find(str(synthetic_pack))
    assert (pack.name, pack.version, pack.embedding_size, pack.threshold) == ("synthetic", "1", 512, 0.73)
    assert pack.license == "MIT, made by Vultus"
    assert pack.recognizer == f"rec_drawn:{pack.recognition.sha256[:16]}"


def test_the_cache_comes_second(library: PackLibrary, tmp_path: Path, bare_pack: Path) -> None:
    shutil.copytree(bare_pack, tmp_path / "cache" / "models" / "ours")
    assert library.find("ours").name == "ours"
    assert library.installed() == ["ours"]


def test_a_pack_without_manifest_gets_cautious_defaults_and_says_so(library: PackLibrary, bare_pack: Path) -> None:
    pack = library.find(str(bare_pack))
    assert pack.threshold == CAUTIOUS_THRESHOLD
    assert "cautious" in pack.threshold_source
    assert "unknown" in pack.license
    assert (pack.detection.path.name, pack.recognition.path.name) == ("det_drawn.onnx", "rec_drawn.onnx")


def test_no_pack_names_the_three_ways_out(library: PackLibrary, tmp_path: Path) -> None:
    with pytest.raises(ModelPackUnavailable) as raised:
        library.find("buffalo_l", may_download=False)
    message = str(raised.value)
    for way in ("VULTUS_MODEL_PACK=/", "vultus models install buffalo_l", "VULTUS_MODEL_PACK=synthetic"):
        assert way in message


def test_a_download_that_fails_leaves_nothing_behind(
    library: PackLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(ModelPackUnavailable, match="download failed"):
        library.find("buffalo_sc")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory and the address that serves it."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, format: str, *arguments: object) -> None: ...  # noqa: A002 - the name in the standard library

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_archive_is_downloaded_and_only_its_networks_are_unpacked(web: tuple[Path, str], bare_pack: Path) -> None:
    directory, address = web
    with zipfile.ZipFile(directory / "nested.zip", "w") as archive:
        for file in bare_pack.iterdir():
            archive.write(file, f"nested/../../{file.name}")
        archive.writestr("nested/readme.txt", "hello")
    download_networks(f"{address}/nested.zip", directory / "target")
    assert {path.name: path.read_bytes() for path in (directory / "target").iterdir()} == {
        path.name: path.read_bytes() for path in bare_pack.iterdir()
    }
    (directory / "broken.zip").write_bytes(b"no archive")
    with pytest.raises(zipfile.BadZipFile):
        download_networks(f"{address}/broken.zip", directory / "other")
    with pytest.raises(httpx.HTTPError):
        download_networks(f"{address}/absent.zip", directory / "other")


def test_a_published_pack_with_other_bytes_is_refused(library: PackLibrary, tmp_path: Path, bare_pack: Path) -> None:
    published = PUBLISHED["buffalo_sc"]
    directory = tmp_path / "cache" / "models" / "buffalo_sc"
    directory.mkdir(parents=True)
    shutil.copy(bare_pack / "det_drawn.onnx", directory / published.detection)
    shutil.copy(bare_pack / "rec_drawn.onnx", directory / published.recognition)
    with pytest.raises(ModelPackRefused, match=r"not the published buffalo_sc: SHA-256"):
        library.find("buffalo_sc")


def test_first_use_records_and_a_later_change_is_refused_until_accepted(library: PackLibrary, bare_pack: Path) -> None:
    before = library.find(str(bare_pack))
    model = onnx.load_model(str(bare_pack / "rec_drawn.onnx"))
    model.doc_string = "tampered with"
    onnx.save(model, bare_pack / "rec_drawn.onnx")
    with pytest.raises(ModelPackRefused, match="changed since its first use"):
        library.find(str(bare_pack))
    library.accept(str(bare_pack))
    assert library.find(str(bare_pack)).recognizer != before.recognizer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 3}, "not a valid pack manifest"),
        ({"surprise": True}, "not a valid pack manifest"),
        ({"embedding_size": 128}, "embedding_size is 128"),
        ({"recognition": "../../outside.onnx"}, "lacks outside.onnx"),
        ({"recognition": "absent.onnx"}, r"lacks absent\.onnx"),
    ],
)
def test_a_bad_manifest_is_refused_with_the_reason(
    library: PackLibrary, bare_pack: Path, synthetic_pack: Path, change: dict[str, object], message: str
) -> None:
    manifest = json.loads((synthetic_pack / "pack.json").read_text())
    (bare_pack / "pack.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ModelPackRefused, match=message):
        library.find(str(bare_pack))


def test_files_that_are_no_networks_are_refused(library: PackLibrary, bare_pack: Path) -> None:
    (bare_pack / "rec_drawn.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelPackRefused, match="not an ONNX file"):
        library.find(str(bare_pack))
    (bare_pack / "rec_drawn.onnx").unlink()
    with pytest.raises(ModelPackRefused, match="no recognition network"):
        library.find(str(bare_pack))


def test_an_archive_that_nests_its_own_name_is_understood(
    library: PackLibrary, tmp_path: Path, bare_pack: Path
) -> None:
    shutil.copytree(bare_pack, tmp_path / "cache" / "models" / "nested" / "nested")
    assert library.find("nested").detection.path.name == "det_drawn.onnx"


def test_every_pinned_digest_is_a_sha256() -> None:
    for pack in PUBLISHED.values():
        for digest in (pack.detection_sha256, pack.recognition_sha256, pack.attributes_sha256 or "00" * 32):
            assert len(bytes.fromhex(digest)) == 32


def test_a_pack_that_looks_twice_is_another_recognizer(library: PackLibrary, bare_pack: Path) -> None:
    once, twice = (library.find(f"{bare_pack}{ending}") for ending in ("", "+mirror"))
    assert (twice.name, twice.recognition) == ("mine+mirror", once.recognition)
    assert twice.recognizer.startswith("rec_drawn_mirrored:")
    assert twice.recognizer.rpartition(":")[2] != once.recognizer.rpartition(":")[2]
    for pack, cosines in ((once, (0.2, 0.3)), (twice, (0.4, 0.5))):
        points = tuple(zip((1e-2, 1e-3), cosines, strict=True))
        write_calibration(pack, Calibration(points, "a test", ((8e-3, 1.2e-2), (7e-4, 1.3e-3))))
    for ending, cosine in (("", 0.2), ("+mirror", 0.4)):
        pack = library.find(f"{bare_pack}{ending}")
        assert pack.calibration.similarity_at(1e-2) == pytest.approx(cosine)
        assert pack.calibration.intervals == ((8e-3, 1.2e-2), (7e-4, 1.3e-3))
        assert pack.calibration.description == "a test; rates below 0.001 are extrapolated"
        assert not pack.name.endswith("+mirror") or pack.is_mirrored
    assert library.find(str(bare_pack)).name == "mine"
    written = json.loads((bare_pack / "pack.json").read_text())
    assert None not in written.values()  # older versions know fewer names
    for name in ("+mirror", f"{bare_pack}+mirror+mirror"):
        with pytest.raises(ModelPackUnavailable, match="names no pack"):
            library.find(name)


@pytest.fixture
def attributes_pack(tmp_path: Path, synthetic_pack: Path) -> Path:
    return add_attribute_network(synthetic_pack, tmp_path / "able")


def test_a_network_of_age_and_gender_is_found_by_manifest_or_shape(
    library: PackLibrary, attributes_pack: Path, bare_pack: Path
) -> None:
    assert library.find(str(bare_pack)).attributes is None
    named = library.find(str(attributes_pack))
    assert named.attributes is not None
    assert named.attributes.path == attributes_pack / FILE
    assert library.find(f"{attributes_pack}+mirror").attributes == named.attributes
    shutil.copy(attributes_pack / FILE, bare_pack)
    found = library.find(str(bare_pack))
    assert found.attributes is not None
    assert found.attributes.sha256 == named.attributes.sha256
    write_calibration(found, Calibration(((1e-2, 0.2), (1e-3, 0.3)), "a test"))
    assert library.find(str(bare_pack)).attributes == found.attributes
    (bare_pack / FILE).write_bytes(build_attribute_network(("other",)))
    with pytest.raises(ModelPackRefused, match="changed since its first use"):
        library.find(str(bare_pack))
    library.accept(str(bare_pack))
    assert library.find(str(bare_pack)).attributes != found.attributes


def test_a_named_network_of_age_and_gender_must_be_one(library: PackLibrary, attributes_pack: Path) -> None:
    network = attributes_pack / FILE
    content = network.read_bytes()
    shutil.copy(attributes_pack / "rec_drawn.onnx", network)
    with pytest.raises(ModelPackRefused, match=r"not a network of age and gender: .* 96 x 96 pixels into 3 numbers"):
        library.find(str(attributes_pack))
    network.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelPackRefused, match="not an ONNX file"):
        library.find(str(attributes_pack))
    network.unlink()
    with pytest.raises(ModelPackRefused, match=r"lacks genderage\.onnx"):
        library.find(str(attributes_pack))


def test_a_published_pack_may_lack_its_network_of_age_and_gender_but_not_have_another(
    tmp_path: Path, bare_pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = PUBLISHED["buffalo_l"]
    files = {published.detection: "det_drawn.onnx", published.recognition: "rec_drawn.onnx"}
    digests = {name: sha256_of(bare_pack / file) for name, file in files.items()}
    directory = tmp_path / "cache" / "models" / "buffalo_l"
    directory.mkdir(parents=True)
    for name, file in files.items():
        shutil.copy(bare_pack / file, directory / name)
    pinned = replace(
        published,
        detection_sha256=digests[published.detection],
        recognition_sha256=digests[published.recognition],
        attributes_sha256=hashlib.sha256(build_attribute_network()).hexdigest(),
    )
    monkeypatch.setitem(PUBLISHED, "buffalo_l", pinned)
    library = PackLibrary(cache=tmp_path / "cache", data_dir=tmp_path / "data")
    assert library.find("buffalo_l").attributes is None
    (directory / FILE).write_bytes(build_attribute_network())
    pack = library.find("buffalo_l")
    assert pack.attributes is not None
    write_calibration(pack, Calibration(((1e-2, 0.2), (1e-3, 0.3)), "a test"))
    (directory / FILE).write_bytes(build_attribute_network(("other",)))
    with pytest.raises(ModelPackRefused, match=r"genderage\.onnx is not the published buffalo_l: SHA-256"):
        library.find("buffalo_l")
    monkeypatch.setitem(PUBLISHED, "buffalo_l", replace(pinned, attributes_sha256=None))
    assert library.find("buffalo_l").attributes is not None
    (directory / FILE).write_bytes(build_attribute_network())
    with pytest.raises(ModelPackRefused, match="changed since its first use"):
        library.find("buffalo_l")
