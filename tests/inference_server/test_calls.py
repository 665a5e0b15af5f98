"""What an inference server accepts, and from whom: calls by hand, without our client."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.faces import Detail
from app.ml.analysis import FaceAnalyzer
from app.ml.finding import Embeddable
from app.ml.remote.wire import PHOTOS_TYPE, Answer, PhotoOrder, ServerInfo, pack_call, unpack_embedding
from app.settings import Settings
from tests import pictures
from tests.commands import Commands
from tests.inference_server.servers import TOKEN, serving_inference, settings_of_server

RIGHT = {"authorization": f"Bearer {TOKEN}"}


def order(photo: bytes, recognizer: str, **changed: Any) -> PhotoOrder:
    fields: dict[str, Any] = {
        "bytes": len(photo),
        "detail": Detail.STANDARD,
        "embeddable": Embeddable.ALL,
        "recognizers": [recognizer],
        "with_attributes": False,
        "may_turn": True,
        "seen": [],
        "max_bytes": 10**7,
        "max_pixels": 10**8,
        "max_faces": 100,
        "min_face_pixels": 40,
        **changed,
    }
    return PhotoOrder.model_validate(fields)


def post(server: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(f"{server}/extract", content=body, headers={"content-type": PHOTOS_TYPE, **(headers or RIGHT)})


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return f"{answer.status_code} {answer.json()['code']}"


@pytest.fixture(scope="module")
def recognizer(analyzer: FaceAnalyzer) -> str:
    return analyzer.engine.info.recognizer


def test_a_photo_that_is_none_has_its_error_and_its_neighbors_their_faces(server: str, recognizer: str) -> None:
    photos = [pictures.photo(1), b"no photo", pictures.group(2, 3)]
    answer = post(server, pack_call([order(photo, recognizer) for photo in photos], photos))
    assert answer.status_code == 200, answer.text
    one, none, two = Answer.model_validate_json(answer.content).photos
    assert one.found is not None
    assert two.found is not None
    assert (len(one.found.faces), len(two.found.faces)) == (1, 2)
    for face in (*one.found.faces, *two.found.faces):
        assert face.embedded is not None
        assert unpack_embedding(face.embedded.embedding, 512).shape == (512,)
    assert none.found is None
    assert none.problem is not None
    assert none.problem.code == "image_unreadable"


def test_info_describes_networks_and_limits(server: str, analyzer: FaceAnalyzer, settings: Settings) -> None:
    answer = httpx.get(f"{server}/info", headers=RIGHT)
    info, here = ServerInfo.model_validate_json(answer.content), analyzer.engine.info
    first = info.recognizers[0]
    assert (first.recognizer, first.digest, first.embedding_size) == (here.recognizer, here.digest, 512)
    assert info.limits.max_photos == 16
    assert info.limits.max_image_bytes == settings.max_image_bytes


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer \u00fc".encode("latin-1").decode("latin-1")},
    ],
)
def test_a_wrong_token_is_refused(server: str, recognizer: str, headers: dict[str, str]) -> None:
    photo = pictures.photo(1)
    body = pack_call([order(photo, recognizer)], [photo])
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    for answer in (
        httpx.post(f"{server}/extract", content=body, headers={b"content-type": PHOTOS_TYPE.encode(), **sent}),
        httpx.get(f"{server}/info", headers=sent),
        httpx.get(f"{server}/metrics", headers=sent),
    ):
        assert code(answer) == "401 not_authenticated"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_two_tokens_are_refused(server: str) -> None:
    both = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")]
    assert code(httpx.get(f"{server}/info", headers=both)) == "401 not_authenticated"


def test_health_needs_no_token(server: str) -> None:
    assert httpx.get(f"{server}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server}/readyz").json() == {"status": "ready"}


def test_metrics_count_photos(server: str, recognizer: str) -> None:
    photo = pictures.photo(1)
    assert post(server, pack_call([order(photo, recognizer)], [photo])).status_code == 200
    text = httpx.get(f"{server}/metrics", headers=RIGHT).text
    assert 'vultus_requests_total{method="POST",route="/extract",status="200"}' in text
    assert "vultus_images_total" in text
    assert 'vultus_stage_seconds_count{stage="embed"}' in text


def test_a_body_that_is_too_large_is_refused(server: str, settings: Settings) -> None:
    assert code(post(server, b"\0" * (settings.max_request_bytes + 1))) == "413 request_too_large"


def test_a_photo_that_is_too_large_has_its_error(server: str, recognizer: str, settings: Settings) -> None:
    photo = pictures.photo(1) + b"\0" * settings.max_image_bytes
    (answer,) = Answer.model_validate_json(post(server, pack_call([order(photo, recognizer)], [photo])).content).photos
    assert answer.problem is not None
    assert answer.problem.code == "image_too_large"


BAD_BODIES = {
    "nothing": b"",
    "three bytes": b"\0\0\0",
    "a head that ends early": b"\0\0\x10\0{}",
    "a head of 4 GiB": b"\xff\xff\xff\xff{}",
    "no JSON": b"\0\0\0\x01{",
    "no UTF-8": b"\0\0\0\x02\xff\xfe",
    "no photos": b'\0\0\0\x0d{"photos":[]}',
    "a list": b"\0\0\0\x02[]",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_no_call_is_refused(server: str, body: bytes) -> None:
    answer = post(server, body)
    assert answer.status_code in (400, 422), answer.text
    code(answer)


def pack(head: object, *photos: bytes) -> bytes:
    text = json.dumps(head).encode()
    return len(text).to_bytes(4, "big") + text + b"".join(photos)


@pytest.mark.parametrize(
    "changed",
    [
        {"bytes": 10**6},
        {"bytes": 3},
        {"bytes": -1},
        {"detail": "other"},
        {"recognizers": []},
        {"recognizers": ["unknown:0123456789abcdef"]},
        {"max_faces": 0},
        {"max_pixels": 0},
        {"min_face_pixels": -1},
        {"min_face_pixels": float("nan")},
        {"min_face_pixels": float("inf")},
        {"seen": [{"box": [0, 0, 1], "landmarks": [], "score": 1}]},
        {"seen": [{"box": [0, 0, 1, float("inf")], "landmarks": [[0, 0]] * 5, "score": 1}]},
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_order_that_makes_no_sense_is_refused(server: str, recognizer: str, changed: dict[str, Any]) -> None:
    photo = pictures.photo(1)
    head = {"photos": [{**order(photo, recognizer).model_dump(mode="json"), **changed}]}
    answer = post(server, pack(head, photo))
    assert answer.status_code in (400, 422), answer.text
    code(answer)


def test_seventeen_photos_are_too_many(server: str, recognizer: str) -> None:
    one = order(b"x", recognizer).model_dump(mode="json")
    assert code(post(server, pack({"photos": [one] * 17}, b"x" * 17))) == "422 invalid_parameter"


@pytest.mark.parametrize(
    ("box", "landmarks", "status"),
    [
        ([0, 0, 0, 0], [[0, 0]] * 5, 200),
        ([-1e7, -1e7, 1e7, 1e7], [[1e7, -1e7]] * 5, 200),
        ([-1e9, -1e9, 1e12, 1e12], [[1e12, -1e12]] * 5, 422),
        ([5, 5, -9, -9], [[1e308, 0]] * 5, 422),
    ],
)
def test_seen_faces_of_any_size_are_no_server_error(
    server: str, recognizer: str, box: list[float], landmarks: list[list[float]], status: int
) -> None:
    photo = pictures.photo(1)
    seen = [{"box": box, "landmarks": landmarks, "score": 1}]
    head = {"photos": [{**order(photo, recognizer).model_dump(mode="json"), "seen": seen}]}
    answer = post(server, pack(head, photo))
    assert answer.status_code == status, answer.text


def test_other_media_types_are_refused(server: str) -> None:
    headers = {**RIGHT, "content-type": "multipart/form-data"}
    assert code(httpx.post(f"{server}/extract", content=b"x", headers=headers)) == "415 unsupported_media_type"


def test_unknown_routes_and_methods(server: str) -> None:
    assert code(httpx.get(f"{server}/api/v1/collections")) == "404 route_not_found"
    assert code(httpx.get(f"{server}/docs")) == "404 route_not_found"
    assert code(httpx.get(f"{server}/extract", headers=RIGHT)) == "405 method_not_allowed"


def test_a_full_server_answers_503_with_a_time_to_retry(settings: Settings, recognizer: str) -> None:
    env = {
        **settings_of_server(settings),
        "VULTUS_INFERENCE_QUEUE": "0",
        "VULTUS_INFERENCE_THREADS": "1",
    }
    photo = pictures.encode(pictures.portrait(1, side=1600))
    body = pack_call([order(photo, recognizer)] * 16, [photo] * 16)
    with serving_inference(env) as (address, _), httpx.Client(timeout=60) as client:

        def send(_: int) -> httpx.Response:
            return client.post(f"{address}/extract", content=body, headers={"content-type": PHOTOS_TYPE})

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(send, range(4)))
        assert sorted({answer.status_code for answer in answers}) == [200, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert code(refused) == "503 overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        assert send(0).status_code == 200


def test_it_stores_and_logs_nothing_of_a_photo(settings: Settings, recognizer: str, tmp_path: Path) -> None:
    env = {**settings_of_server(settings), "VULTUS_INFERENCE_TOKEN": TOKEN, "VULTUS_LOG_LEVEL": "debug"}
    log, data_dir = tmp_path / "log", tmp_path / "data"
    env["VULTUS_DATA_DIR"] = str(data_dir)
    photo = pictures.photo(11)
    with serving_inference(env, log=log) as (address, _):
        answer = post(address, pack_call([order(photo, recognizer)], [photo]))
        found = Answer.model_validate_json(answer.content).photos[0].found
        assert found is not None
        assert found.faces[0].embedded is not None
        assert post(address, pack({"photos": [{"detail": "canary-4713"}]})).status_code == 422
    text = log.read_text()
    assert "request" in text
    for secret in (TOKEN, "canary-4713", found.faces[0].embedded.embedding[:40], photo[:20].hex()):
        assert secret not in text
    embedding = base64.b64decode(found.faces[0].embedded.embedding)
    for file in (path for path in data_dir.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert photo[200:264] not in content
        assert embedding[:64] not in content


@pytest.mark.parametrize(
    ("arguments", "env", "expected"),
    [
        (["--host", "0.0.0.0"], {}, "Listening on 0.0.0.0 needs VULTUS_INFERENCE_TOKEN"),
        (["--host", "::"], {}, "Listening on :: needs VULTUS_INFERENCE_TOKEN"),
        ([], {"VULTUS_INFERENCE_TOKEN": "short"}, "VULTUS_INFERENCE_TOKEN is shorter than 32 bytes"),
        ([], {"VULTUS_INFERENCE_TOKEN": "a" * 40}, "fewer than 10 distinct characters"),
        ([], {"VULTUS_INFERENCE_CERT_FILE": "a.pem"}, "must be set together"),
        ([], {"VULTUS_INFERENCE_CA_FILE": "a.pem"}, "which needs TLS"),
        (
            [],
            {"VULTUS_INFERENCE_CERT_FILE": "a.pem", "VULTUS_INFERENCE_KEY_FILE": "b.pem"},
            "must name a certificate, its key",
        ),
        ([], {"VULTUS_INFERENCE_URL": "http://127.0.0.1:1"}, "must not be set for the inference server itself"),
    ],
)
def test_an_open_or_misconfigured_server_does_not_start(
    commands: Commands, settings: Settings, arguments: list[str], env: dict[str, str], expected: str
) -> None:
    done = commands.run("inference", *arguments, env={**settings_of_server(settings), **env}, timeout_s=60)
    assert done.returncode == 1
    assert expected in done.stderr
    assert TOKEN not in done.stderr
