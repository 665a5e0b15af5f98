"""`vultus import compreface`: over CompreFace's documented REST API, and from a database with its tables."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.persistence.provisioning.embedded import EmbeddedPostgres
from tests import pictures
from tests.imports.conftest import Place, Run

API_KEY = "6b135f5b-a365-4522-b1f1-4c9ac2dd0728"


class Service:
    """What CompreFace has: examples by id, with subject and saved photo, and subjects without any."""

    def __init__(self) -> None:
        self.faces: dict[str, tuple[str, bytes]] = {}
        self.empty: list[str] = []
        self.asked: list[str] = []
        self.failing = 0

    def add(self, subject: str, photo: bytes) -> str:
        image_id = str(uuid4())
        self.faces[image_id] = (subject, photo)
        return image_id


def _handler(service: Service) -> type[http.server.BaseHTTPRequestHandler]:
    class CompreFace(http.server.BaseHTTPRequestHandler):
        """Answers as its documentation says: https://github.com/exadel-inc/CompreFace."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            service.asked.append(url.path)
            if service.failing:
                service.failing -= 1
                self._answer(502, b"")
                return
            if self.headers.get("x-api-key") != API_KEY:
                self._answer(404, json.dumps({"message": "RECOGNITION service not found", "code": 10}).encode())
                return
            path = url.path.removeprefix("/api/v1/recognition")
            query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
            if path == "/subjects":
                names = [*{subject for subject, _ in service.faces.values()}, *service.empty]
                self._answer(200, json.dumps({"subjects": names}).encode())
            elif path == "/faces":
                self._answer(200, json.dumps(self._page(query.get("page", 0), query.get("size", 20))).encode())
            else:
                self._answer(200, service.faces.get(path.split("/")[2], ("", b""))[1], "application/octet-stream")

        def _page(self, page: int, size: int) -> dict[str, Any]:
            size = min(size, 2)  # so that a few faces take several pages
            listed = list(service.faces.items())[page * size : (page + 1) * size]
            return {
                "faces": [{"image_id": image_id, "subject": subject} for image_id, (subject, _) in listed],
                "page_number": page,
                "page_size": size,
                "total_pages": -(-len(service.faces) // size),
                "total_elements": len(service.faces),
            }

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return CompreFace


@contextmanager
def _serving(service: Service) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(service)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def compreface(service: Service) -> Iterator[str]:
    with _serving(service) as url:
        yield url


def test_people_come_over_the_api(run: Run, place: Place, service: Service, compreface: str) -> None:
    ada = service.add("Ada Löwe", pictures.photo(1))
    service.add("Ada Löwe", pictures.photo(1, 1))
    bob = service.add("bob", pictures.photo(2))
    unsaved = service.add("bob", b"")
    nobody = service.add("bob", pictures.landscape())
    service.empty += ["Cid", "x" * 200]
    service.failing = 1
    done = run("compreface", "--from", compreface, COMPREFACE_API_KEY=API_KEY)
    assert done.code == 1, done.err
    assert done.reasons() == {unsaved: "photo_missing", nobody: "no_face", "x" * 200: "name_not_possible"}
    assert {one: (found["name"], found["templates"]) for one, found in place.subjects().items()} == {
        "Ada::20Löwe": ("Ada Löwe", 2),
        "bob": (None, 1),
        "Cid": (None, 0),
    }
    assert {ada, bob} < {face["external_image_id"] for face in place.faces()}
    assert API_KEY not in done.out + done.err + json.dumps(done.report)
    again = run("compreface", "--from", compreface, COMPREFACE_API_KEY=API_KEY)
    assert (again.report["stored"], again.report["known"], len(place.faces())) == (0, 3, 3)


def test_names_are_those_that_compreface_clients_see(run: Run, place: Place, service: Service, compreface: str) -> None:
    service.add("Ada Löwe", pictures.photo(1))
    assert run("compreface", "--from", compreface, COMPREFACE_API_KEY=API_KEY).code == 0
    body = {"name": "cf", "scopes": ["recognize", "register"], "collections": ["people"]}
    key = place.native.post("/keys", json=body).raise_for_status().json()["key"]
    url = f"{place.base}/compreface/api/v1/recognition/subjects"
    assert place.native.get(url, headers={"x-api-key": key}).json() == {"subjects": ["Ada Löwe"]}


def test_a_dry_run_reads_and_sends_nothing(run: Run, place: Place, service: Service, compreface: str) -> None:
    service.add("ada", pictures.photo(1))
    service.add("bob", b"")
    done = run("compreface", "--from", compreface, "--dry-run", COMPREFACE_API_KEY=API_KEY)
    assert (done.report["stored"], list(done.report["reasons"])) == (1, ["photo_missing"])
    assert [one["name"] for one in place.native.get("/collections").json()["items"]] == ["default"]


def test_a_wrong_key_or_address_is_one_line(run: Run, compreface: str, place: Place) -> None:
    for arguments, env in (
        (("--from", compreface), {"COMPREFACE_API_KEY": "wrong"}),
        (("--from", compreface), {}),
        (("--from", place.base), {"COMPREFACE_API_KEY": API_KEY}),
        (("--from", "nonsense"), {"COMPREFACE_API_KEY": API_KEY}),
        ((), {}),
        (("--from-database", "postgresql://127.0.0.1:1/none"), {}),
        (("--from-database", "nonsense"), {}),
    ):
        done = run("compreface", *arguments, **env)
        assert done.code == 1, arguments
        assert len(done.err.splitlines()) == 1, done.err
        assert done.err.startswith("vultus: "), done.err


_TABLES = """
    CREATE TABLE model (id bigint PRIMARY KEY, name varchar(255), guid varchar(36), api_key varchar(36), type char);
    CREATE TABLE subject (id uuid PRIMARY KEY, api_key varchar(36), subject_name varchar(255),
        CONSTRAINT api_key_subject_name_uindex UNIQUE (api_key, subject_name));
    CREATE TABLE img (id uuid PRIMARY KEY, content bytea NOT NULL);
    CREATE TABLE embedding (id uuid PRIMARY KEY, subject_id uuid REFERENCES subject ON DELETE CASCADE ON UPDATE CASCADE,
        embedding float8[] NOT NULL, calculator varchar(255) NOT NULL, img_id uuid REFERENCES img);
"""


@pytest.fixture
async def old_database(postgres: EmbeddedPostgres) -> str:
    """A database with CompreFace's tables and nothing in them."""
    url = (await postgres.ensure_database(f"frs_{uuid4().hex}")).replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    await connection.execute(_TABLES)
    await connection.close()
    return url


async def _fill(url: str) -> dict[str, UUID]:
    """Add two recognition services and a detection service; return the examples by subject."""
    connection = await asyncpg.connect(url)
    services = [(1, "staff", API_KEY, "R"), (2, "guests", str(uuid4()), "R"), (3, "detect", str(uuid4()), "D")]
    for number, name, key, kind in services:
        await connection.execute("INSERT INTO model VALUES ($1, $2, $3, $4, $5)", number, name, str(uuid4()), key, kind)
    examples = {}
    photos = {"Ada Löwe": pictures.photo(1), "bob": pictures.photo(2), "unsaved": None, "empty": ...}
    for name, photo in photos.items():
        subject, example, image = uuid4(), uuid4(), uuid4() if isinstance(photo, bytes) else None
        await connection.execute("INSERT INTO subject VALUES ($1, $2, $3)", subject, API_KEY, name)
        if photo is ...:
            continue
        if image is not None:
            await connection.execute("INSERT INTO img VALUES ($1, $2)", image, photo)
        embedding = [0.5] * 128  # of another network, which must not be taken over
        await connection.execute(
            "INSERT INTO embedding VALUES ($1, $2, $3, 'Calculator', $4)", example, subject, embedding, image
        )
        examples[name] = example
    await connection.execute("INSERT INTO subject VALUES ($1, $2, 'guest')", uuid4(), services[1][2])
    await connection.close()
    return examples


async def test_people_come_from_the_database(run: Run, place: Place, old_database: str) -> None:
    examples = await _fill(old_database)
    env = {"COMPREFACE_DATABASE_URL": old_database}
    several = run("compreface", **env)
    assert "name one recognition service; the database has guests, staff" in several.err
    done = run("compreface", "--service", "staff", **env)
    assert done.reasons() == {str(examples["unsaved"]): "photo_missing"}
    assert {one: found["templates"] for one, found in place.subjects().items()} == {
        "Ada::20Löwe": 1,
        "bob": 1,
        "empty": 0,
    }
    assert {face["external_image_id"] for face in place.faces()} == {
        str(examples["Ada Löwe"]),
        str(examples["bob"]),
    }
    files = {"image": ("photo.jpg", pictures.photo(1, 1), "image/jpeg")}
    found = place.native.post("/recognize", data={"collection": "people"}, files=files).json()
    assert found["faces"][0]["candidates"][0]["subject"] == "Ada::20Löwe"
    again = run("compreface", "--service", API_KEY, **env)
    assert (again.report["stored"], again.report["known"]) == (0, 2)


async def test_an_empty_database_says_so(run: Run, old_database: str, tmp_path: Path) -> None:
    done = run("compreface", COMPREFACE_DATABASE_URL=old_database)
    assert done.code == 1
    assert "the database has none" in done.err
