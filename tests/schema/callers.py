"""Callers of every role, and things in their tenant for requests to name."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import requests

from tests import pictures

PASSWORD = "a password of no example"
KEY_SCOPES = {
    "key: recognize": ["recognize"],
    "key: register and embeddings": ["register", "embeddings:read"],
    "key: delete": ["delete"],
    "key: admin": ["admin"],
}
_USERS = ("viewer", "operator", "admin")
ONE_COLLECTION = "key: one collection"
LIMITED_SCOPES = ["recognize", "register", "delete", "embeddings:read"]
"""Of the key that is limited to one collection."""
ROLES = ("nobody", *_USERS, *KEY_SCOPES, ONE_COLLECTION, "platform operator", "metrics")


class Caller:
    """Who sends requests: signs in at the first, and again after `forget`."""

    def __init__(self, sign_in: Callable[[], dict[str, str]]) -> None:
        """Take a function that returns the headers with a new credential."""
        self._sign_in = sign_in
        self._headers: dict[str, str] | None = None

    def headers(self) -> dict[str, str]:
        if self._headers is None:
            self._headers = self._sign_in()
        return dict(self._headers)

    def forget(self) -> None:
        self._headers = None


class Stage:
    """A server with a tenant on the plan `unlimited`, where no rate and no quota is in the way."""

    def __init__(self, base: str, *, operator_token: str, metrics_token: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.headers["connection"] = "close"  # the server may close a kept one just when a request comes
        self._tokens = {"platform operator": operator_token, "metrics": metrics_token}
        _, self.email = self._new_tenant()
        self._admin = Caller(lambda: self._sign_in(self.email))

    def caller(self, role: str) -> Caller:
        """Return a new caller with an account or key of its own."""
        if role == "nobody":
            return Caller(dict)
        if role in self._tokens:
            return Caller(lambda: bearer(self._tokens[role]))
        if role in _USERS:
            email = self._new_user(role)["email"]
            return Caller(lambda: self._sign_in(email))
        if role == ONE_COLLECTION:
            return Caller(lambda: {"x-api-key": self._new_key(LIMITED_SCOPES, collections=["lobby"])["key"]})
        return Caller(lambda: {"x-api-key": self._new_key(KEY_SCOPES[role])["key"]})

    def furnish(self, path: str) -> dict[str, str]:
        """Return a value for each parameter of a path; it names something that exists."""
        # No operation exists before somebody decides a sighting, no cluster before workers have made one.
        known = {"collection": "lobby", "subject": "ada", "name": "generated"}
        known |= {"operation_id": str(uuid4()), "cluster_id": str(uuid4())}
        if "{collection}" in path:
            self._send("POST", "/collections", self._admin.headers(), json={"name": "lobby"})
        if "{subject}" in path or "{recognizer}" in path:
            stored = self._register()
            known |= {"recognizer": stored["recognizer"], "face_id": stored["templates"][0]["face_id"]}
        if "{album}" in path:
            known |= {"face_id": str(uuid4())} | self._furnish_album()  # no face is found without a worker
        if "{video_id}" in path:
            known["video_id"] = self._furnish_video()
        known |= self._furnish_accounts(path)
        return {name: value for name, value in known.items() if f"{{{name}}}" in path}

    def _furnish_accounts(self, path: str) -> dict[str, str]:
        known = {}
        if "{user_id}" in path:
            known["user_id"] = self._new_user("viewer")["user_id"]
        if "/access-keys/{key_id}" in path:
            known["key_id"] = self._get("POST", "/access-keys", json={"scopes": ["recognize"]})["key_id"]
        elif "{key_id}" in path:
            known["key_id"] = self._new_key(["recognize"])["key_id"]
        if "{webhook_id}" in path:
            known["webhook_id"] = self._furnish_webhook()
        if "{invitation_id}" in path:
            known["invitation_id"] = self._get("POST", "/invitations", json={"email": _new_email()})["invitation_id"]
        if "{session_id}" in path:
            known["session_id"] = self._get("GET", "/auth/sessions")["items"][0]["session_id"]
        if "{tenant_id}" in path:
            known["tenant_id"], _ = self._new_tenant()
        return known

    def _furnish_webhook(self) -> str:
        """Return a webhook's id: a new one, unless the tenant has some, which may be as many as it may have."""
        kept = self._get("GET", "/webhooks")["items"]
        return str((kept or [self._get("POST", "/webhooks", json={"url": "https://hooks.invalid/"})])[0]["webhook_id"])

    def _furnish_album(self) -> dict[str, str]:
        self._send("POST", "/albums", self._admin.headers(), json={"id": "party"})
        photo = {"image": ("photo.jpg", pictures.photo(1), "image/jpeg")}
        self._send("PUT", "/albums/party/photos/1.jpg", self._admin.headers(), files=photo)
        link = self._get("POST", "/albums/party/links", json={})
        return {"album": "party", "external_id": "1.jpg", "link_id": link["link_id"]}

    def _furnish_video(self) -> str:
        self._send("POST", "/albums", self._admin.headers(), json={"id": "party"})
        form = {"album": "party", "external_id": f"{uuid4().hex}.mp4"}
        video = {"video": ("video.mp4", b"no worker looks at it")}
        return str(self._get("POST", "/videos", data=form, files=video)["video_id"])

    def access_key(self, scopes: list[str]) -> tuple[str, str]:
        """Return the id and secret of a new access key of the tenant."""
        made = self._get("POST", "/access-keys", json={"scopes": scopes})
        return made["access_key_id"], made["secret_access_key"]

    def new_key(self, scopes: list[str], **fields: Any) -> str:
        """Return a new API key of the tenant."""
        return str(self._new_key(scopes, **fields)["key"])

    def drop_collection(self, name: str) -> None:
        """Delete a collection of the tenant, if there is one."""
        self._send("DELETE", f"/collections/{name}", self._admin.headers())

    def _send(self, method: str, path: str, headers: dict[str, str], **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.base}/api/v1{path}", headers=headers, **options)

    def _get(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        response = self._send(method, path, self._admin.headers() if headers is None else headers, **options)
        assert response.ok, f"{method} {path}: {response.text}"
        found: dict[str, Any] = response.json()
        return found

    def _sign_in(self, email: str) -> dict[str, str]:
        form = {"username": email, "password": PASSWORD}
        return bearer(self._get("POST", "/auth/token", {}, data=form)["access_token"])

    def _new_tenant(self) -> tuple[str, str]:
        email = _new_email()
        body = {"tenant": "Acme", "email": email, "password": PASSWORD, "plan": "unlimited"}
        created = self._get("POST", "/operator/tenants", bearer(self._tokens["platform operator"]), json=body)
        return created["tenant_id"], email

    def _new_user(self, role: str) -> dict[str, Any]:
        return self._get("POST", "/users", json={"email": _new_email(), "password": PASSWORD, "role": role})

    def _new_key(self, scopes: list[str], **fields: Any) -> dict[str, Any]:
        return self._get("POST", "/keys", json={"name": uuid4().hex, "scopes": scopes, **fields})

    def _register(self) -> dict[str, Any]:
        files = {"images": ("photo.jpg", pictures.photo(1), "image/jpeg")}
        # An earlier request may have withdrawn the consent, or made the policy require it.
        form = {"collection": "lobby", "subject": "ada", "consent": "form 7"}
        return self._get("POST", "/register", data=form, files=files)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _new_email() -> str:
    return f"{uuid4().hex}@example.com"
