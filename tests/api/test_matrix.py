"""Every route, asked by everybody: own tenant, another tenant, nobody, a revoked caller, the wrong role, a guess.

The table below has an entry for each route; one without fails the test, so nobody adds a route and forgets to ask.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.permissions import ROLE_PERMISSIONS, Role
from app.rekognition.signing import read_signed_call
from app.routes.coverage import PUBLIC_ROUTES, route_dependencies
from app.routes.deps.callers import get_operator
from tests import pictures
from tests.api.conftest import Account, Running, WithRole, problem

PHOTO = ("photo.jpg", pictures.photo(1), "image/jpeg")


@dataclass(frozen=True)
class Call:
    """How to call a route so that it succeeds for its own tenant, and what others get.

    `stranger`: the status for another tenant's admin who sends the very same request; 404 wherever the request names a
    thing. `guess`: the status for one's own tenant when the last id in the path is made up.
    """

    own: int
    stranger: int
    guess: int | None = None
    options: Callable[[], dict[str, Any]] = dict


def sends(**options: Any) -> Callable[[], dict[str, Any]]:
    return lambda: options


def new_email() -> str:
    return f"{uuid4().hex}@example.com"


SUBJECT = "/api/v1/collections/{collection}/subjects/{subject}"
CALLS: dict[str, Call] = {
    "POST /api/v1/auth/logout": Call(204, 204),
    "GET /api/v1/auth/me": Call(200, 200),
    "POST /api/v1/auth/password": Call(401, 401, options=sends(json={"current": "wrong", "new": "x" * 12})),
    "GET /api/v1/auth/sessions": Call(200, 200),
    # A session of nobody, and no second factor: see test_second_factor.py.
    "DELETE /api/v1/auth/sessions/{session_id}": Call(404, 404, 404),
    "GET /api/v1/auth/second-factor": Call(200, 200),
    "POST /api/v1/auth/second-factor": Call(401, 401, options=sends(json={"password": "wrong"})),
    "POST /api/v1/auth/second-factor/confirm": Call(409, 409, options=sends(json={"code": "123456"})),
    "POST /api/v1/auth/second-factor/recovery-codes": Call(
        401, 401, options=sends(json={"password": "wrong", "code": "123456"})
    ),
    "POST /api/v1/auth/second-factor/remove": Call(
        401, 401, options=sends(json={"password": "wrong", "code": "123456"})
    ),
    "POST /api/v1/invitations": Call(201, 201, options=lambda: {"json": {"email": new_email()}}),
    "GET /api/v1/invitations": Call(200, 200),
    "DELETE /api/v1/invitations/{invitation_id}": Call(204, 404, 404),
    "POST /api/v1/users/{user_id}/reset-link": Call(201, 404, 404),
    "DELETE /api/v1/users/{user_id}/second-factor": Call(409, 404, 404),
    "GET /api/v1/tenant": Call(200, 200),
    "POST /api/v1/users": Call(201, 201, options=lambda: {"json": {"email": new_email(), "password": "x" * 12}}),
    "GET /api/v1/users": Call(200, 200),
    "GET /api/v1/users/{user_id}": Call(200, 404, 404),
    "PATCH /api/v1/users/{user_id}": Call(200, 404, 404, sends(json={"role": "viewer"})),
    "DELETE /api/v1/users/{user_id}": Call(204, 404, 404),
    "POST /api/v1/keys": Call(201, 201, options=sends(json={"name": "another", "scopes": ["recognize"]})),
    "GET /api/v1/keys": Call(200, 200),
    "GET /api/v1/keys/{key_id}": Call(200, 404, 404),
    "POST /api/v1/keys/{key_id}/rotate": Call(201, 404, 404),
    "DELETE /api/v1/keys/{key_id}": Call(204, 404, 404),
    "POST /api/v1/access-keys": Call(201, 201, options=sends(json={"scopes": ["recognize"]})),
    "GET /api/v1/access-keys": Call(200, 200),
    "DELETE /api/v1/access-keys/{key_id}": Call(204, 404, 404),
    "POST /api/v1/register": Call(
        201, 404, options=sends(data={"subject": "bob", "collection": "lobby"}, files={"images": PHOTO})
    ),
    "POST /api/v1/register/all": Call(201, 404, options=sends(data={"collection": "lobby"}, files={"image": PHOTO})),
    "POST /api/v1/recognize": Call(200, 404, options=sends(data={"collection": "lobby"}, files={"image": PHOTO})),
    "POST /api/v1/recognize/batch": Call(
        200, 404, options=sends(data={"collection": "lobby"}, files={"images": PHOTO})
    ),
    "POST /api/v1/verify": Call(
        200, 404, options=sends(data={"collection": "lobby", "subject": "ada"}, files={"image": PHOTO})
    ),
    "POST /api/v1/compare": Call(200, 200, options=sends(files={"source": PHOTO, "target": PHOTO})),
    "POST /api/v1/compare/batch": Call(200, 200, options=sends(files={"source": PHOTO, "targets": PHOTO})),
    "POST /api/v1/detect": Call(200, 200, options=sends(files={"image": PHOTO})),
    "POST /api/v1/extract": Call(200, 200, options=sends(files={"image": PHOTO})),
    "POST /api/v1/extract/batch": Call(200, 200, options=sends(files={"images": PHOTO})),
    "POST /api/v1/collections": Call(201, 201, options=lambda: {"json": {"name": uuid4().hex}}),
    "GET /api/v1/collections": Call(200, 200),
    "GET /api/v1/collections/{collection}": Call(200, 404, 404),
    "DELETE /api/v1/collections/{collection}": Call(204, 404, 404),
    "PUT /api/v1/collections/{collection}/policy": Call(200, 404, 404, sends(json={"max_false_match_rate": 1e-4})),
    "GET /api/v1/collections/{collection}/recognizers": Call(200, 404, 404),
    "GET /api/v1/collections/{collection}/recognizers/{recognizer}/missing": Call(200, 404, 200),
    # Whatever is asked for, it is not there.
    "PUT /api/v1/collections/{collection}/recognizers": Call(422, 404, 404, sends(json={"in_use": "nobody:1"})),
    "DELETE /api/v1/collections/{collection}/recognizers/{recognizer}": Call(404, 404, 404),
    "POST /api/v1/collections/{collection}/calibration": Call(422, 404, 404),  # there are too few faces
    "DELETE /api/v1/collections/{collection}/calibration": Call(200, 404, 404),
    "POST /api/v1/collections/{collection}/subjects": Call(201, 404, 404, sends(json={"subject": "carol"})),
    "GET /api/v1/collections/{collection}/subjects": Call(200, 404, 404),
    "POST /api/v1/collections/{collection}/search": Call(
        422, 404, 404, sends(json={"embedding": [1.0] * 512, "recognizer": "of another pack"})
    ),
    f"GET {SUBJECT}/similar": Call(200, 404, 404),
    f"GET {SUBJECT}/faces/{{face_id}}/similar": Call(200, 404, 404),
    f"GET {SUBJECT}": Call(200, 404, 404),
    f"PATCH {SUBJECT}": Call(200, 404, 404, sends(json={"name": "Ada Acker"})),
    f"DELETE {SUBJECT}": Call(200, 404, 404),
    f"PUT {SUBJECT}/consent": Call(200, 404, 404, sends(json={"reference": "form 7"})),
    f"DELETE {SUBJECT}/consent": Call(200, 404, 404),
    f"POST {SUBJECT}/merge": Call(200, 404, 404, sends(json={"into": "bob"})),
    f"POST {SUBJECT}/move": Call(200, 404, 404, sends(json={"collection": "party"})),
    f"GET {SUBJECT}/export": Call(200, 404, 404),
    "POST /api/v1/subjects/import": Call(201, 404, options=sends(json={"collection": "lobby", "subject": "carol"})),
    "POST /api/v1/albums": Call(201, 201, options=lambda: {"json": {"id": uuid4().hex}}),
    "GET /api/v1/albums": Call(200, 200),
    "GET /api/v1/albums/{album}": Call(200, 404, 404),
    "PATCH /api/v1/albums/{album}": Call(200, 404, 404, sends(json={"title": "A party"})),
    "DELETE /api/v1/albums/{album}": Call(204, 404, 404),
    "GET /api/v1/albums/{album}/sightings": Call(200, 404, 404),
    f"GET {SUBJECT}/sightings": Call(200, 404, 404),
    # The face is no sighting: see test_sightings.py.
    "POST /api/v1/sightings/{face_id}/confirm": Call(404, 404, 404, sends(json={})),
    "POST /api/v1/sightings/{face_id}/reject": Call(404, 404, 404),
    "POST /api/v1/sightings/{face_id}/ignore": Call(404, 404, 404),
    "POST /api/v1/sightings/decide": Call(
        200, 200, options=lambda: {"json": {"decisions": [{"face_id": str(uuid4()), "verdict": "ignore"}]}}
    ),
    "GET /api/v1/albums/{album}/clusters": Call(200, 404, 404),
    # see test_videos.py
    "POST /api/v1/videos": Call(
        202,
        404,
        options=sends(data={"album": "party", "external_id": "1.mp4"}, files={"video": ("a.mp4", b"none")}),
    ),
    # The tests' server keeps waiting videos in a directory: see test_video_sources.py.
    "POST /api/v1/videos/uploads": Call(422, 404, options=sends(json={"album": "party", "external_id": "2.mp4"})),
    "POST /api/v1/videos/{video_id}/uploaded": Call(404, 404, 404),
    "GET /api/v1/videos": Call(200, 200),
    "GET /api/v1/videos/{video_id}": Call(404, 404, 404),
    "DELETE /api/v1/videos/{video_id}": Call(404, 404, 404),
    "GET /api/v1/videos/{video_id}/events": Call(404, 404, 404),
    "GET /api/v1/videos/{video_id}/people": Call(404, 404, 404),
    "GET /api/v1/videos/{video_id}/people.vtt": Call(404, 404),
    "POST /api/v1/videos/search": Call(200, 404, options=sends(data={"album": "party"}, files={"image": PHOTO})),
    f"GET {SUBJECT}/appearances": Call(200, 404, 404),
    # see test_pools.py
    "PUT /api/v1/collections/{collection}/pool": Call(200, 404, 404, sends(json={})),
    "GET /api/v1/collections/{collection}/pool": Call(404, 404, 404),
    "DELETE /api/v1/collections/{collection}/pool": Call(404, 404, 404),
    "GET /api/v1/collections/{collection}/sightings": Call(404, 404, 404),
    "GET /api/v1/collections/{collection}/clusters": Call(404, 404, 404),
    # see test_clusters.py
    "POST /api/v1/clusters/{cluster_id}/assign": Call(
        404, 404, 404, sends(json={"collection": "lobby", "subject": "ada"})
    ),
    "POST /api/v1/clusters/{cluster_id}/merge": Call(404, 404, 404, lambda: {"json": {"cluster_id": str(uuid4())}}),
    "POST /api/v1/clusters/{cluster_id}/split": Call(404, 404, 404, lambda: {"json": {"face_ids": [str(uuid4())]}}),
    "POST /api/v1/operations/{operation_id}/undo": Call(404, 404, 404),  # see test_sightings.py
    "POST /api/v1/albums/{album}/links": Call(201, 404, 404, sends(json={})),
    "GET /api/v1/albums/{album}/links": Call(200, 404, 404),
    "DELETE /api/v1/albums/{album}/links/{link_id}": Call(204, 404, 404),
    "POST /api/v1/albums/{album}/photos": Call(
        202, 404, 404, sends(data={"external_ids": '["2.jpg"]'}, files={"images": PHOTO})
    ),
    "PUT /api/v1/albums/{album}/photos/{external_id}": Call(200, 404, 202, sends(files={"image": PHOTO})),
    "POST /api/v1/albums/{album}/fetch": Call(202, 404, 404, sends(json={"bucket": "photos", "names": ["2.jpg"]})),
    # The tests' server keeps waiting photos in a directory: see test_album_uploads.py.
    "POST /api/v1/albums/{album}/uploads": Call(422, 404, 404, sends(json={"photos": [{"external_id": "2.jpg"}]})),
    "POST /api/v1/albums/{album}/uploads/complete": Call(202, 404, 404, sends(json={"external_ids": ["2.jpg"]})),
    "GET /api/v1/albums/{album}/photos": Call(200, 404, 404),
    "GET /api/v1/albums/{album}/photos/{external_id}": Call(200, 404, 404),
    "DELETE /api/v1/albums/{album}/photos/{external_id}": Call(204, 404, 404),
    "POST /api/v1/albums/{album}/retry": Call(202, 404, 404),
    # The album keeps no pictures: see test_album_pictures.py.
    "GET /api/v1/albums/{album}/faces/{face_id}/picture": Call(404, 404, 404),
    "POST /api/v1/albums/{album}/search": Call(200, 404, 404, sends(files={"images": PHOTO})),
    "POST /api/v1/albums/{album}/search/people": Call(
        200, 404, 404, sends(json={"people": [{"collection": "lobby", "subject": "ada"}]})
    ),
    "GET /api/v1/events": Call(200, 200),
    "POST /api/v1/webhooks": Call(201, 201, options=sends(json={"url": "https://hooks.example/vultus"})),
    "GET /api/v1/webhooks": Call(200, 200),
    "GET /api/v1/webhooks/{webhook_id}": Call(200, 404, 404),
    "PATCH /api/v1/webhooks/{webhook_id}": Call(200, 404, 404, sends(json={"is_enabled": False})),
    "DELETE /api/v1/webhooks/{webhook_id}": Call(204, 404, 404),
    "POST /api/v1/webhooks/{webhook_id}/rotate-secret": Call(200, 404, 404),
    # The name has no address, as the answer says: see test_webhooks.py.
    "POST /api/v1/webhooks/{webhook_id}/test": Call(200, 404, 404),
    "GET /api/v1/webhooks/{webhook_id}/deliveries": Call(200, 404, 404),
    "POST /api/v1/webhooks/{webhook_id}/replay": Call(200, 404, 404, sends(json={"since": "2026-01-01T00:00:00Z"})),
    "GET /api/v1/policy": Call(200, 200),
    "PUT /api/v1/policy": Call(200, 200, options=sends(json={"retention_days": 30})),
    "GET /api/v1/object-store": Call(404, 404),  # none is set: see tests/rekognition/test_object_stores.py
    "PUT /api/v1/object-store": Call(
        422,
        422,
        options=sends(json={"endpoint": "http://169.254.169.254", "access_key_id": "a", "secret_access_key": "b"}),
    ),
    "DELETE /api/v1/object-store": Call(404, 404),
    "GET /api/v1/rekognition-options": Call(200, 200),
    "PUT /api/v1/rekognition-options": Call(200, 200, options=sends(json={"placeholder_attributes": True})),
    "GET /api/v1/audit": Call(200, 200),
    "GET /api/v1/usage": Call(200, 200),
    f"GET {SUBJECT}/faces": Call(200, 404, 404),
    "GET /api/v1/collections/{collection}/faces": Call(200, 404, 404),
    "DELETE /api/v1/collections/{collection}/faces": Call(
        200, 404, 404, sends(params={"external_image_id": "a photo"})
    ),
    f"GET {SUBJECT}/faces/{{face_id}}": Call(200, 404, 404),
    f"DELETE {SUBJECT}/faces/{{face_id}}": Call(204, 404, 404),
}


def test_every_route_has_an_entry(running: Running) -> None:
    public = PUBLIC_ROUTES | {
        "GET /metrics",
        "POST /api/v1/auth/signup",
        "POST /api/v1/auth/token",
        "POST /api/v1/auth/refresh",
        *(f"POST /api/v1/auth/{one}" for one in ("link", "invitation", "reset", "forgot")),  # test_account_links.py
    }
    # See test_album_events.py and test_events.py.
    streams = {"GET /api/v1/albums/{album}/events", "GET /api/v1/events/stream"}
    guests = {"GET /api/v1/guest/album", "POST /api/v1/guest/search"}  # see test_album_links.py
    routes = route_dependencies(running.app)
    operators = {name for name, calls in routes.items() if get_operator in calls}  # see test_operator.py
    signed = {name for name, calls in routes.items() if read_signed_call in calls}  # see tests/rekognition
    others = {name for name in routes if " /compreface/" in name}  # see tests/compreface/test_access.py
    pages = {name for name, calls in routes.items() if any(map(_is_of_console, calls))}  # see tests/console
    assert set(CALLS) == set(routes) - public - operators - signed - streams - guests - pages - others


def _is_of_console(call: Any) -> bool:
    return str(call.__module__).startswith("app.console.")


Furnish = Callable[[], Awaitable[dict[str, str]]]


@pytest.fixture
async def ids(admin: Account) -> dict[str, str]:
    """One of everything in `admin`'s tenant."""
    await admin.client.post("/collections", json={"name": "lobby"})
    registered = (
        await admin.register("ada", pictures.photo(1), collection="lobby", external_image_id="a photo")
    ).json()
    await admin.client.post("/collections/lobby/subjects", json={"subject": "bob"})
    user = (await admin.client.post("/users", json={"email": new_email(), "password": "x" * 12})).json()
    key = (await admin.client.post("/keys", json={"name": "key", "scopes": ["recognize"]})).json()
    pair = (await admin.client.post("/access-keys", json={"scopes": ["recognize"]})).json()
    await admin.client.post("/albums", json={"id": "party"})
    await admin.client.put("/albums/party/photos/1.jpg", files={"image": PHOTO})
    link = (await admin.client.post("/albums/party/links", json={})).json()
    webhook = (await admin.client.post("/webhooks", json={"url": "https://hooks.invalid/"})).json()
    invitation = (await admin.client.post("/invitations", json={"email": new_email()})).json()
    return {
        "album": "party",
        "link_id": link["link_id"],
        "invitation_id": invitation["invitation_id"],
        "session_id": str(uuid4()),
        "operation_id": str(uuid4()),
        "cluster_id": str(uuid4()),
        "video_id": str(uuid4()),
        "external_id": "1.jpg",
        "collection": "lobby",
        "subject": "ada",
        "face_id": registered["templates"][0]["face_id"],
        "recognizer": "nobody:1",
        "user_id": user["user_id"],
        "key_id": key["key_id"],
        "access_key_id": pair["key_id"],
        "webhook_id": webhook["webhook_id"],
    }


def fill(path: str, ids: dict[str, str], *, guess: bool = False) -> str:
    names = dict(ids)
    if "access-keys" in path:
        names["key_id"] = ids["access_key_id"]
    if guess:
        last = path[path.rindex("{") + 1 : path.rindex("}")]
        names[last] = "nobody" if last in ("collection", "subject", "album") else str(uuid4())
    return "http://vultus" + path.format(**names)


async def ask(client: httpx.AsyncClient, route: str, ids: dict[str, str], *, guess: bool = False) -> httpx.Response:
    method, path = route.split()
    return await client.request(method, fill(path, ids, guess=guess), **CALLS[route].options())


@pytest.mark.parametrize("route", CALLS)
async def test_route(
    route: str, admin: Account, stranger: Account, ids: dict[str, str], running: Running, with_role: WithRole
) -> None:
    call = CALLS[route]

    async with running.client() as nobody:
        assert problem(await ask(nobody, route, ids)) == "401 not_authenticated"

    revoked = await with_role(Role.ADMIN)
    await revoked.client.post("/auth/logout")
    assert problem(await ask(revoked.client, route, ids)) == "401 token_revoked"

    # Last first, since the right caller may delete the thing.
    foreign = await ask(stranger.client, route, ids)
    assert foreign.status_code == call.stranger, foreign.text
    if call.stranger == 404:
        problem(foreign)
    if call.guess is not None:
        assert (await ask(admin.client, route, ids, guess=True)).status_code == call.guess

    needed = next((c.permission for c in route_dependencies(running.app)[route] if hasattr(c, "permission")), None)
    for role in Role:
        if needed is not None and needed not in ROLE_PERMISSIONS[role]:
            assert problem(await ask((await with_role(role)).client, route, ids)) == "403 permission_denied"

    own = await ask(admin.client, route, ids)
    assert own.status_code == call.own, own.text
