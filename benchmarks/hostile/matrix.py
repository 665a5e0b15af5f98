"""Call every operation as every kind of caller with the ids and names of another tenant.

After each call the other tenant's rows must be as before, the response must show none of its ids and names that the
caller did not send, and its status must be the one of `expectations.py`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import requests

from app.routes import API
from benchmarks.goals import at_least, at_most
from benchmarks.hostile.expectations import CALLERS, SHORTENING, expect, operator_routes
from benchmarks.hostile.victim import MARK, PHOTO, Victim, tables_changed
from tests import pictures
from tests.api.test_matrix import CALLS
from tests.schema.callers import PASSWORD, Caller, Stage

OWN = {"collection": "lobby", "subject": "ada"}
STREAM_READ_S = 2
"""How long a stream of events is read that says nothing more."""
_SUBJECTS = f"{API}/collections/{{collection}}/subjects"


@dataclass(frozen=True)
class Cell:
    """One call: the route with its path filled in, how it is called, and the status that it must get."""

    route: str
    caller: str
    variant: str
    path: str
    options: dict[str, Any]
    expected: int

    def __str__(self) -> str:
        return f"{self.caller}: {self.route} ({self.variant})"


@dataclass
class Findings:
    """What must not be in the answers, and how many calls were made."""

    calls: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {
            "calls": dict(self.calls),
            "statuses": dict(sorted(self.statuses.items())),
            "shown": self.shown[:50],
            "changed": self.changed[:50],
            "5xx": self.failed[:50],
            "unexpected": self.unexpected[:50],
        }

    def goals(self, name: str) -> list[dict[str, Any]]:
        return [
            at_least(f"{name}: calls", 1, self.calls.total(), "calls"),
            at_most(f"{name}: answers that show something of the other tenant", 0, len(self.shown), "answers"),
            at_most(f"{name}: answers that change something of it", 0, len(self.changed), "answers"),
            at_most(f"{name}: answers 5xx", 0, len(self.failed), "answers"),
            at_most(f"{name}: unexpected statuses", 0, len(self.unexpected), "answers"),
        ]


class Matrix:
    """The calls of every caller of one tenant against another tenant."""

    def __init__(self, stage: Stage, victim: Victim) -> None:
        self._stage = stage
        self._victim = victim
        self._days = count(3_000, -1)
        self._own = OWN | stage.furnish(f"{_SUBJECTS}/{{subject}}/faces/{{face_id}}")
        self._own |= stage.furnish("{album}{external_id}{link_id}{operation_id}{cluster_id}{video_id}")
        self._own |= stage.furnish("{webhook_id}{invitation_id}{session_id}")

    def cells(self) -> Iterator[Cell]:
        """Yield all calls; those of one route follow one another."""
        for route in CALLS:
            for caller in CALLERS:
                yield from self._cells_of(route, caller)
        for route, variant, options, status in self._extras():
            for caller in CALLERS:
                yield self._cell(route, caller, variant, self._own, options, status)
        for caller in CALLERS:
            yield from self._operator_cells(caller)
        yield from self._public_cells()

    def check(self, cells: Iterator[Cell]) -> Findings:
        """Make the calls and compare the other tenant's rows after each."""
        findings, callers = Findings(), dict[str, Caller]()
        self._victim.check_detection()
        before = self._victim.settle()
        for cell in cells:
            caller = callers.setdefault(cell.caller, self._stage.caller(cell.caller))
            self._send(cell, caller, findings)
            if (after := self._victim.dump()) != before:
                findings.changed.append(f"{cell}: {tables_changed(before, after)}")
                before = after
        return findings

    def _send(self, cell: Cell, caller: Caller, findings: Findings) -> None:
        method = cell.route.split()[0]
        options = {**cell.options, "headers": {**caller.headers(), **cell.options.get("headers", {})}}
        answer = self._stage.session.request(method, self._stage.base + cell.path, **options)
        findings.calls[cell.variant] += 1
        findings.statuses[f"{cell.variant}: {answer.status_code}"] += 1
        sent = f"{cell.path} {_text_of(cell.options)} {caller.headers()}"
        if cell.caller == "platform operator":
            sent += self._victim.tenant_id  # the operator may know tenants, and nothing in them
        shown = _read_for_a_while(answer) if cell.options.get("stream") else answer.text
        if found := self._victim.shown_in(f"{shown} {dict(answer.headers)}", sent):
            findings.shown.append(f"{cell}: {answer.status_code} {found[:3]}")
        if answer.status_code >= 500:
            findings.failed.append(f"{cell}: {answer.status_code} {shown[:200]}")
        elif answer.status_code != cell.expected:
            findings.unexpected.append(f"{cell}: {answer.status_code} instead of {cell.expected} {shown[:200]}")
        if cell.route.endswith("/auth/logout"):
            caller.forget()

    def _cells_of(self, route: str, caller: str) -> Iterator[Cell]:
        call, theirs, path = CALLS[route], self._victim.ids, route.split()[1]
        options = _replace(call.options(), self._victim)
        if route == SHORTENING:
            options = {"json": {"retention_days": next(self._days)}}  # a shorter one needs another permission
        yield self._cell(route, caller, "theirs", theirs, options, call.stranger)
        if path.count("{") > 1 and call.guess is not None:
            last = path[path.rindex("{") + 1 : path.rindex("}")]
            if last not in ("recognizer", "external_id"):  # the server's, or each tenant's own words
                mixed = self._own | {last: theirs[last]}
                yield self._cell(route, caller, "their last id in an own thing", mixed, options, call.guess)
        cursor = self._victim.cursors.get(path.removeprefix(API))
        if route.startswith("GET") and cursor is not None:
            sent = {"params": {"cursor": cursor, "limit": 1}}
            yield self._cell(route, caller, "their cursor", self._own, sent, 422)

    def _cell(
        self, route: str, caller: str, variant: str, ids: dict[str, str], options: dict[str, Any], status: int
    ) -> Cell:
        names = ids | ({"key_id": ids["access_key_id"]} if "access-keys" in route and "access_key_id" in ids else {})
        path = route.split()[1].format(**names)
        return Cell(route, caller, variant, path, options, expect(route, caller, status))

    def _extras(self) -> Iterator[tuple[str, str, dict[str, Any], int]]:
        """Calls with an own path that name their things elsewhere: route, variant, options, status."""
        victim, name = self._victim, "their names in parameters"
        listed = {"q": MARK}, {"metadata.note": MARK}
        for params in listed:
            yield f"GET {_SUBJECTS}", name, {"params": params}, 200
        for key in ("external_image_id", "image_id"):
            value = f"{MARK}-photo" if key == "external_image_id" else victim.ids["face_id"]
            for method in ("GET", "DELETE"):
                status = 200 if method == "GET" else 404
                yield f"{method} {API}/collections/{{collection}}/faces", name, {"params": {key: value}}, status
        yield f"GET {API}/audit", name, {"params": {"actor": f"user:{victim.ids['user_id']}"}}, 200
        params = {"collection": victim.collection, "subject": victim.subject}
        yield f"GET {API}/audit", name, {"params": params}, 200
        form, image = {"collection": OWN["collection"]}, {"image": PHOTO}
        yield f"POST {API}/recognize", "their photo", {"data": form, "files": image}, 200
        form = {**form, "subject": victim.subject}
        yield f"POST {API}/verify", "their photo", {"data": form, "files": image}, 404
        same = {"collection": victim.collection, "subject": victim.subject, "name": f"{MARK} Ada",
                "metadata": f'{{"note": "{MARK}"}}', "external_image_id": f"{MARK}-photo"}  # fmt: skip
        headers = {"idempotency-key": victim.idempotency_key}
        options = {"data": same, "files": {"images": PHOTO}, "headers": headers}
        yield f"POST {API}/register", "their idempotency key and request", options, 404

    def _operator_cells(self, caller: str) -> Iterator[Cell]:
        mine = caller == "platform operator"
        email = {"tenant": "x", "email": self._victim.email, "password": PASSWORD}
        calls: dict[str, tuple[str, dict[str, Any], int]] = {
            f"POST {API}/operator/tenants": ("", {"json": email}, 409),
            f"GET {API}/operator/tenants": ("", {}, 200),
            f"GET {API}/operator/tenants/{{tenant_id}}": (self._victim.tenant_id, {}, 200),
            f"PATCH {API}/operator/tenants/{{tenant_id}}": (self._victim.tenant_id, {"json": {"plan": "no-such"}}, 404),
            f"DELETE {API}/operator/tenants/{{tenant_id}}": (str(uuid4()) if mine else self._victim.tenant_id, {}, 404),
            f"GET {API}/operator/plans": ("", {}, 200),
            f"PUT {API}/operator/plans/{{name}}": ("hostile", {"json": {}}, 200),
        }
        assert set(calls) == operator_routes()
        for route, (last, options, status) in calls.items():
            path = route.split()[1].format(tenant_id=last, name=last)
            yield Cell(route, caller, "operator's API", path, options, status if mine else 401)

    def _public_cells(self) -> Iterator[Cell]:
        """Calls of everybody, with what they know of the other tenant."""
        email, wrong = self._victim.email, f"wrong {uuid4().hex}"
        signup = {"json": {"tenant": "x", "email": email, "password": PASSWORD}}
        link = {"token": self._victim.ids["invitation_id"]}
        for route, options, status in (
            (f"POST {API}/auth/signup", signup, 409),
            (f"POST {API}/auth/token", {"data": {"username": email, "password": wrong}}, 401),
            (f"POST {API}/auth/refresh", {"json": {"refresh_token": self._victim.tenant_id}}, 401),
            (f"POST {API}/auth/forgot", {"json": {"email": email}}, 422),  # the server sends no mail
            (f"POST {API}/auth/link", {"json": link}, 404),
            (f"POST {API}/auth/invitation", {"json": {**link, "password": PASSWORD}}, 404),
            (f"POST {API}/auth/reset", {"json": {**link, "password": PASSWORD}}, 404),
            (f"GET {API}/receipt-keys", {}, 200),
            ("GET /healthz", {}, 200),
            ("GET /readyz", {}, 200),
        ):
            yield Cell(route, "nobody", "public", route.split()[1], options, status)
        selfie = {"image": ("photo.jpg", pictures.photo(1), "image/jpeg")}
        guest: dict[str, Any] = {"data": {"consent": "true"}, "files": selfie}
        for caller in CALLERS:
            album = f"{API}/albums/{self._victim.ids['album']}"
            hidden = expect(f"GET {API}/albums/{{album}}", caller, 404)
            yield Cell(f"GET {API}/albums/{{album}}/events", caller, "theirs", f"{album}/events", {}, hidden)
            stream: dict[str, Any] = {"params": {"after": 0}, "stream": True, "timeout": STREAM_READ_S}
            watching = expect(f"GET {API}/events", caller, 200)
            yield Cell(f"GET {API}/events/stream", caller, "own events", f"{API}/events/stream", stream, watching)
            token = 401 if caller == "nobody" or caller.startswith("key:") else 404  # other tokens are no links
            for route, options in ((f"GET {API}/guest/album", dict[str, Any]()), (f"POST {API}/guest/search", guest)):
                yield Cell(route, caller, "no link", route.split()[1], options, token)
            yield Cell("GET /metrics", caller, "metrics", "/metrics", {}, 200 if caller == "metrics" else 401)


def _replace(options: dict[str, Any], victim: Victim) -> dict[str, Any]:
    """Name the other tenant's collection, subject and album where the matrix of the tests names its own."""
    names = {"lobby": victim.collection, "ada": victim.subject, "party": victim.ids["album"]}
    replaced = {
        kind: {name: names.get(value, value) if isinstance(value, str) else value for name, value in sent.items()}
        for kind, sent in options.items()
        if kind in ("data", "json", "params")
    }
    return options | replaced


def _text_of(options: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in options.items() if name != "files"}, default=str)


def _read_for_a_while(answer: requests.Response) -> str:
    """Return what a stream says until it says nothing more."""
    said = b""
    try:
        for part in answer.iter_content(None):
            said += part
    except requests.ConnectionError:  # the read timeout
        pass
    finally:
        answer.close()
    return said.decode()
