"""What holds for every route: who may call it, how it fails, what it holds on to, what it tells."""

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app import errors
from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Detail
from app.main import create_app
from app.ml.analysis import Embed, FaceAnalyzer
from app.persistence.connections.database import Database
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.rekognition.signing import read_signed_call
from app.routes.coverage import PUBLIC_ROUTES, check_coverage, route_dependencies
from app.routes.deps.callers import get_credential, get_operator
from app.routes.guests import get_guest
from app.services.photos.face_reader import FaceReader
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, start
from tests.openapi import operations_of

# What anybody may call; everything else is authenticated.
PUBLIC = PUBLIC_ROUTES | {
    "GET /metrics",
    "POST /api/v1/auth/signup",
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/refresh",
    *(f"POST /api/v1/auth/{one}" for one in ("link", "invitation", "reset", "forgot")),  # by the secret of a link
}


def api_routes(running: Running) -> dict[str, set[Any]]:
    """All routes but the console's pages and CompreFace's, which have tests of their own."""
    routes = route_dependencies(running.app)
    return {
        name: calls
        for name, calls in routes.items()
        if not any(str(call.__module__).startswith("app.console.pages") for call in calls)
        and " /compreface/" not in name
    }


def test_every_route_is_authenticated_or_on_the_public_list(running: Running) -> None:
    found = api_routes(running)
    assert len(found) > 30
    assert set(found) >= PUBLIC
    for name, calls in found.items():
        assert bool({get_credential, get_guest, get_operator, read_signed_call} & calls) != (name in PUBLIC), name


def test_a_route_that_nobody_thought_of_keeps_the_app_from_starting(settings: Settings) -> None:
    app = create_app(settings)
    app.add_api_route("/api/v1/forgotten", lambda: "open to all", methods=["GET"])
    with pytest.raises(RuntimeError, match="GET /api/v1/forgotten"):
        check_coverage(app)


async def test_every_route_refuses_a_caller_without_token(running: Running, anonymous: httpx.AsyncClient) -> None:
    for name, calls in api_routes(running).items():
        if name in PUBLIC or get_operator in calls or read_signed_call in calls:  # see tests/rekognition
            continue
        method, path = name.split()
        path = path.replace("{collection}", "default").replace("{subject}", "ada")
        for parameter in ("{face_id}", "{user_id}", "{key_id}", "{video_id}"):
            path = path.replace(parameter, str(uuid4()))
        answer = await anonymous.request(method, f"http://vultus{path}")
        assert problem(answer) == "401 not_authenticated", name


async def test_every_error_of_the_tree_has_its_own_code_and_is_named_in_the_docstring() -> None:
    def tree(kind: type[errors.AppError]) -> set[type[errors.AppError]]:
        found = {kind}
        for child in kind.__subclasses__():
            found |= tree(child)
        return found

    seen: dict[str, type[errors.AppError]] = {}
    for kind in tree(errors.AppError):
        assert kind.__doc__, kind
        if "code" in vars(kind):
            assert kind.code not in seen, kind
            seen[kind.code] = kind
        for word in (kind.__name__,) if kind in errors.AppError.__subclasses__() else ():
            assert word in (errors.__doc__ or ""), word
    for code, kind in seen.items():
        if not kind.__subclasses__():
            assert code in (errors.__doc__ or ""), code


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", "404 route_not_found"),
        ("GET", "/api/v1/nowhere", "404 route_not_found"),
        ("PUT", "/api/v1/collections", "405 method_not_allowed"),
        ("GET", "/docs/assets/../../etc/passwd", "404 route_not_found"),
        ("GET", "/docs/assets/nothing.js", "404 route_not_found"),
    ],
)
async def test_paths_that_do_not_exist_have_the_one_error_shape(
    anonymous: httpx.AsyncClient, method: str, path: str, expected: str
) -> None:
    assert problem(await anonymous.request(method, f"http://vultus{path}")) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'"text"', b"null", b'{"tenant": "\\ud800"}'])
async def test_json_that_is_none(anonymous: httpx.AsyncClient, body: bytes) -> None:
    answer = await anonymous.post("/auth/signup", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer)


async def test_an_unexpected_error_is_a_500_that_tells_nothing(
    admin: Account, monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("canary-4713")

    monkeypatch.setattr(FaceReader, "detect", broken)
    answer = await admin.send("/detect", pictures.photo(1))
    assert problem(answer) == "500 internal_error"
    assert "canary-4713" not in answer.text


async def test_the_request_id_is_the_callers_when_it_is_safe(anonymous: httpx.AsyncClient) -> None:
    kept = await anonymous.get("/auth/me", headers={"x-request-id": "my-id.1"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "my-id.1"
    made = await anonymous.get("/auth/me", headers={"x-request-id": "<script>"})
    assert made.headers["x-request-id"] == made.json()["request_id"] != "<script>"


class Watching:
    """The real analyzer, noting at each call how many connections the pool has given out."""

    def __init__(self, analyzer: FaceAnalyzer, database: Database) -> None:
        self._analyzer = analyzer
        self._database = database
        self.held: list[int] = []

    @property
    def engine(self) -> Any:
        return self._analyzer.engine

    def analyze(self, data: bytes, embed: Embed, detail: Detail, recognizers: Recognizers | None) -> Analysis:
        self.held.append(self._database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return self._analyzer.analyze(data, embed, detail, recognizers)


async def test_no_database_connection_is_held_while_a_model_runs(
    ada: Account, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = running.state.faces
    watching = Watching(faces._analyzer, running.state.database)
    monkeypatch.setattr(faces, "_analyzer", watching)
    photo = pictures.photo(1)
    assert (await ada.register("bob", photo, photo)).status_code == 201
    for path in ("/recognize", "/detect", "/extract"):
        assert (await ada.send(path, photo)).status_code == 200
    assert (await ada.send("/verify", photo, subject="ada")).status_code == 200
    assert (await ada.client.post("/compare", files={"source": photo, "target": photo})).status_code == 200
    assert len(watching.held) == 8
    assert set(watching.held) == {0}


async def test_what_an_answer_promises_is_committed_before_it_leaves(admin: Account, database: Database) -> None:
    """Measured on FastAPI 0.163: a plain yield dependency commits after the response."""
    for index in range(10):
        name = f"c{index}"
        assert (await admin.client.post("/collections", json={"name": name})).status_code == 201
        async with database.transaction(as_operator=True) as session:
            found = text("SELECT count(*) FROM collections WHERE tenant_id = :tenant AND name = :name")
            assert await session.scalar(found, {"tenant": admin.tenant_id, "name": name}) == 1


async def test_a_commit_that_fails_is_an_error_not_a_success(admin: Account, database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN IF NEW.name = 'refused-at-commit' THEN RAISE 'no'; END IF; RETURN NEW; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON collections "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    try:
        answer = await admin.client.post("/collections", json={"name": "refused-at-commit"})
        assert answer.status_code == 500
        problem(answer)
        assert problem(await admin.client.get("/collections/refused-at-commit")) == "404 collection_not_found"
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP FUNCTION refuse CASCADE"))


async def test_overload_is_refused_at_once_with_a_hint_when_to_come_back(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        busy = await start(settings.model_copy(update={"inference_threads": 1, "inference_queue": 1}), stack)
        async with busy.client() as client:
            email = f"{uuid4().hex}@example.com"
            body = {"tenant": "Acme", "email": email, "password": "correct horse"}
            await client.post("/auth/signup", json=body)
            signed_in = await client.post("/auth/token", data={"username": email, "password": "correct horse"})
            client.headers["authorization"] = f"Bearer {signed_in.json()['access_token']}"
            files = {"image": ("a.jpg", pictures.photo(1), "image/jpeg")}
            answers = await asyncio.gather(*(client.post("/detect", files=files) for _ in range(12)))
        codes = {answer.status_code for answer in answers}
        assert codes == {200, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert problem(refused) == "503 overloaded"
        assert refused.headers["retry-after"] == "1"


async def test_ready_only_when_the_database_is_migrated(
    settings: Settings, postgres: EmbeddedPostgres, anonymous: httpx.AsyncClient
) -> None:
    assert (await anonymous.get("http://vultus/readyz")).json() == {"status": "ready", "inference": "here"}
    assert (await anonymous.get("http://vultus/healthz")).json() == {"status": "ok"}
    url = await postgres.ensure_database("not_migrated")
    async with AsyncExitStack() as stack:
        running = await start(Settings.model_validate({**settings.model_dump(), "database_url": url}), stack)
        async with running.client() as client:
            answer = await client.get("http://vultus/readyz")
            assert problem(answer) == "503 not_ready"
            assert "vultus migrate" in answer.json()["detail"]
            assert (await client.get("http://vultus/healthz")).status_code == 200


async def test_without_its_database_the_service_says_so(settings: Settings, analyzer: FaceAnalyzer) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with AsyncExitStack() as stack:
        running = await start(Settings.model_validate({**settings.model_dump(), "database_url": url}), stack)
        async with running.client() as client:
            assert problem(await client.get("http://vultus/readyz")) == "503 not_ready"
            body = {"tenant": "Acme", "email": "a@example.com", "password": "correct horse"}
            answer = await client.post("/auth/signup", json=body)
            assert problem(answer) == "503 database_unavailable"


async def test_the_documentation_needs_no_other_server(anonymous: httpx.AsyncClient) -> None:
    page = (await anonymous.get("http://vultus/docs")).text
    assert "//cdn" not in page
    assert "https://" not in page.replace("https://fastapi.tiangolo.com", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/docs/assets/{asset}" in page
        assert (await anonymous.get(f"http://vultus/docs/assets/{asset}")).status_code == 200


async def test_the_openapi_document_describes_uploads_errors_and_sign_in(anonymous: httpx.AsyncClient) -> None:
    document = (await anonymous.get("http://vultus/openapi.json")).json()
    register = document["paths"]["/api/v1/register"]["post"]
    form = register["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["images"]["maxItems"] == 20
    assert form["required"] == ["subject"]  # the photos may be sent as `image_urls` instead
    assert json.dumps(form).count("$ref") == json.dumps(form).count("#/components/schemas/MetadataValue") == 1
    flows = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]
    assert flows["password"]["tokenUrl"] == "/api/v1/auth/token"
    for name, operation in operations_of(document).items():
        assert operation.get("summary"), name
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (name, status)


async def test_no_canary_reaches_a_log_or_an_answer(
    admin: Account, running: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets and biometrics through the good paths and the bad ones, with everything logged that can be."""
    caplog.set_level(logging.DEBUG)
    photo = pictures.photo(1)
    embedding = (await admin.send("/extract", photo)).json()["faces"][0]["embedding"]
    key = (await admin.client.post("/keys", json={"name": "k", "scopes": ["recognize"]})).json()["key"]
    pair = (await admin.client.post("/access-keys", json={"scopes": ["recognize"]})).json()
    canaries = {
        "canary-subject",
        "canary-name",
        "canary-password",
        "canary-token",
        "canary-metadata",
        admin.tokens["access_token"],
        admin.tokens["refresh_token"],
        key,
        pair["secret_access_key"],
        f"{embedding[0]:.6f}",
        photo[:40].hex(),
        repr(photo[:12])[2:-1],
    }
    answers = [
        await admin.register("canary-subject", photo, name="canary-name", metadata='{"a": "canary-metadata"}'),
        await admin.register("canary-subject", photo, metadata='{"canary-metadata'),
        await admin.send("/recognize", photo, threshold="7"),
        await admin.send("/recognize", photo[:900]),
        await admin.send("/verify", photo, subject="canary-subject"),
        await admin.client.get("/collections/default/subjects/canary-subject/faces?cursor=canary-token"),
        await admin.client.post("/auth/password", json={"current": "canary-password", "new": "canary-password"}),
    ]
    async with running.client("canary-token") as client:
        answers.append(await client.get("/auth/me"))
        form = {"username": "c@example.com", "password": "canary-password"}
        answers.append(await client.post("/auth/token", data=form))
        body = {"tenant": "A", "email": "bad", "password": "canary-password", "extra": "canary-token"}
        answers.append(await client.post("/auth/signup", json=body))
        answers.append(await client.post("/auth/refresh", json={"refresh_token": "canary-token"}))
    async with running.client(key) as client:
        answers.append(await client.get("/users"))

    def broken(*_: object) -> None:
        raise RuntimeError(f"canary-password {embedding[0]:.6f}")

    monkeypatch.setattr(FaceReader, "detect", broken)
    answers.append(await admin.send("/detect", photo))

    logged = caplog.text
    assert "unexpected_error" in logged
    assert "/api/v1/recognize" in logged
    for canary in canaries:
        assert canary not in logged, canary
    secrets = canaries - {"canary-subject", "canary-name"}  # those are the caller's own answer
    for answer in answers[1:]:
        for canary in secrets:
            assert canary not in answer.text, (canary, answer.text)
