"""A tenant that has one of everything, all of it marked, and what of it must never be seen or changed by others."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from app.persistence.models import TENANT_TABLES
from app.rekognition.arns import collection_arn
from tests import pictures
from tests.rekognition.conftest import REGION
from tests.schema.callers import PASSWORD, Stage, bearer

MARK = "zqvictim"
"""A part of every name of the tenant; no caller and no server has it otherwise."""
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TABLES = ["tenants", *sorted(model.__tablename__ for model in TENANT_TABLES)]
_SIGHTING = """INSERT INTO sightings (tenant_id, face_id, collection_id, photo_id, cluster_id)
SELECT tenant_id, $2, collection_id, id, $3 FROM photos WHERE tenant_id = $1"""
_OPERATION = """INSERT INTO operations (tenant_id, id, collection_id, kind, actor, before)
SELECT tenant_id, $2, collection_id, 'decide', $3,
       '{"sightings": [], "rejections": [], "removed": [], "clusters": {}, "said": [], "stored": []}'
FROM photos WHERE tenant_id = $1"""
_DIGEST = """SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) AS row
FROM {table} t WHERE {column} = $1"""
SETTLED_AFTER_S = 3
"""Calls are counted every second."""
PHOTO = ("photo.jpg", pictures.photo(7), "image/jpeg")


def tables_changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the tables whose digests differ."""
    return [table for table, digest in before.items() if after[table] != digest]


class Victim:
    """The tenant, made through the API of a running server; `database` is the owner's address."""

    def __init__(self, stage: Stage, database: str, *, operator_token: str) -> None:
        self._stage = stage
        self._database = database
        self.collection, self.subject = f"{MARK}-{uuid4().hex[:6]}", f"{MARK}.ada.{uuid4().hex[:6]}"
        self.email = f"{MARK}-{uuid4().hex}@example.com"
        created = self._ask(
            "POST",
            "/operator/tenants",
            bearer(operator_token),
            json={"tenant": MARK, "email": self.email, "password": PASSWORD, "plan": "unlimited"},
        )
        self.tenant_id: str = created["tenant_id"]
        self.tokens = self._ask("POST", "/auth/token", {}, data={"username": self.email, "password": PASSWORD})
        self.headers = bearer(self.tokens["access_token"])
        self.idempotency_key = f"{MARK}-{uuid4().hex}"
        self.ids = self._furnish()
        self.cursors = self._find_cursors()
        self.ids["arn"] = self._arn()
        self.secrets = self._find_secrets()

    def dump(self) -> dict[str, str]:
        """Return a digest of the tenant's rows by table."""
        return dict(zip(_TABLES, asyncio.run(self._select(_DIGEST)), strict=True))

    def settle(self) -> dict[str, str]:
        """Wait until the tenant's own calls are counted, which happens later; returns the digest then."""
        time.sleep(SETTLED_AFTER_S)
        return self.dump()

    def check_detection(self) -> None:
        """Raise `AssertionError` unless what the tenant itself sees and changes would be found."""
        seen = self._stage.session.get(f"{self._stage.base}/api/v1/collections", headers=self.headers).text
        assert self.shown_in(seen, sent="")
        before = self.dump()
        self._ask("PUT", "/policy", json={"retention_days": 3001})
        assert "tenant_policies" in tables_changed(before, self.dump())

    def shown_in(self, text: str, sent: str) -> list[str]:
        """Return the tenant's ids and names in a response, apart from those that the caller sent."""
        return [secret for secret in self.secrets if secret in text and secret not in sent]

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        headers = self.headers if headers is None else headers
        answer = self._stage.session.request(method, f"{self._stage.base}/api/v1{path}", headers=headers, **options)
        assert answer.ok, f"{method} {path}: {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    def _furnish(self) -> dict[str, str]:
        for name in (self.collection, f"{self.collection}-2"):
            self._ask("POST", "/collections", json={"name": name})
        key = {**self.headers, "idempotency-key": self.idempotency_key}
        form = {"collection": self.collection, "subject": self.subject, "name": f"{MARK} Ada",
                "metadata": f'{{"note": "{MARK}"}}', "external_image_id": f"{MARK}-photo"}  # fmt: skip
        stored = self._ask("POST", "/register", key, data=form, files={"images": PHOTO})
        again = ("photo.jpg", pictures.photo(7, 1), "image/jpeg")
        self._ask("POST", "/register", data=form, files={"images": again})
        second = ("photo.jpg", pictures.photo(8), "image/jpeg")
        self._ask("POST", "/register", data={**form, "subject": f"{self.subject}-2"}, files={"images": second})
        email = f"{MARK}-{uuid4().hex}@example.com"
        user = self._ask("POST", "/users", json={"email": email, "password": PASSWORD, "role": "viewer"})
        api_key = self._ask("POST", "/keys", json={"name": f"{MARK}-key", "scopes": ["recognize"]})
        pair = self._ask("POST", "/access-keys", json={"scopes": ["register", "recognize", "delete", "admin"]})
        self.access_key = (pair["access_key_id"], pair["secret_access_key"])
        self._ask("PUT", "/policy", json={"retention_days": 3000})
        album = f"{MARK}-album-{uuid4().hex[:6]}"
        self._ask("POST", "/albums", json={"id": album, "title": f"{MARK} party", "people": [self.collection]})
        self._ask("PUT", f"/albums/{album}/photos/{MARK}-1.jpg", files={"image": PHOTO})
        clip = {"video": ("video.mp4", b"no worker looks at it")}
        video = self._ask("POST", "/videos", data={"album": album, "external_id": f"{MARK}-1.mp4"}, files=clip)
        link = self._ask("POST", f"/albums/{album}/links", json={"label": f"{MARK} link"})
        webhook = self._ask("POST", "/webhooks", json={"url": f"https://{MARK}.invalid/"})
        invitation = self._ask("POST", "/invitations", json={"email": f"{MARK}-{uuid4().hex}@example.com"})
        return {
            "album": album,
            "webhook_id": webhook["webhook_id"],
            "invitation_id": invitation["invitation_id"],
            "session_id": self._ask("GET", "/auth/sessions")["items"][0]["session_id"],
            "external_id": f"{MARK}-1.jpg",
            "link_id": link["link_id"],
            "video_id": video["video_id"],
            **asyncio.run(self._add_sightings()),
            "collection": self.collection,
            "subject": self.subject,
            "face_id": stored["templates"][0]["face_id"],
            "recognizer": stored["recognizer"],
            "user_id": user["user_id"],
            "key_id": api_key["key_id"],
            "access_key_id": pair["key_id"],
            "tenant_id": self.tenant_id,
        }

    async def _add_sightings(self) -> dict[str, str]:
        """Add a sighting in a cluster, and an operation: no worker runs that would find the face of the photo."""
        connection = await asyncpg.connect(self._database)
        cluster_id, operation_id = uuid4(), uuid4()
        await connection.execute(_SIGHTING, self.tenant_id, uuid4(), cluster_id)
        await connection.execute(_OPERATION, self.tenant_id, operation_id, MARK)
        await connection.close()
        return {"cluster_id": str(cluster_id), "operation_id": str(operation_id)}

    def _find_cursors(self) -> dict[str, str]:
        """Return a cursor of every list that has pages, by its path."""
        inside = f"/collections/{self.collection}"
        subject = f"{inside}/subjects/{self.subject}"
        lists = ("/collections", f"{inside}/subjects", f"{inside}/faces", f"{subject}/faces", "/audit")
        found = {}
        for path in lists:
            name = path.replace(self.collection, "{collection}").replace(self.subject, "{subject}")
            found[name] = self._ask("GET", f"{path}?limit=1")["next_cursor"]
        assert all(found.values()), found
        return found

    def _arn(self) -> str:
        return f"arn:{collection_arn(REGION, UUID(self.tenant_id), self.collection)}"

    def _find_secrets(self) -> frozenset[str]:
        """Return every id and every marked text of the tenant's rows, except what is no secret of its own."""
        rows = "\n".join(self._rows())
        marked = set(re.findall(rf"{MARK}[A-Za-z0-9.@_-]*", rows))
        return frozenset((set(_UUID.findall(rows)) | marked | {self.access_key[0]}) - {MARK})

    def _rows(self) -> Iterator[str]:
        yield from asyncio.run(self._select("SELECT t::text AS row FROM {table} t WHERE {column} = $1"))

    async def _select(self, statement: str) -> list[str]:
        connection = await asyncpg.connect(self._database)
        found = []
        for table in _TABLES:
            column = "id" if table == "tenants" else "tenant_id"
            rows = await connection.fetch(statement.format(table=table, column=column), self.tenant_id)
            found += [row["row"] for row in rows]
        await connection.close()
        return found
