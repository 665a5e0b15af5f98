"""Callers of every role, and things in their tenant for requests to name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import requests

from tests import pictures

PASSWORD = "a password of no example"
_SCOPES = {
    "key:recognize": ["recognize"],
    "key:register": ["register", "embeddings:read"],
    "key:delete": ["delete"],
    "key:admin": ["admin"],
}
ROLES = ("nobody", "viewer", "operator", "admin", *_SCOPES, "key:one collection", "platform operator", "metrics")


@dataclass
class Caller:
    """Who sends a request: a role, and how it signs in."""

    role: str
    sign_in: Callable[[], str | None]
    """Returns a bearer token."""
    token: str | None = None

    def headers(self) -> dict[str, str]:
        if self.token is None:
            self.token = self.sign_in()
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass
class Stage:
    """A server, one tenant on the plan `unlimited`, and a caller of each role."""

    base: str
    operator_token: str
    metrics_token: str
    session: requests.Session = field(default_factory=requests.Session)
    callers: dict[str, Caller] = field(default_factory=dict)
    spares: dict[str, Caller] = field(default_factory=dict)

    def spare(self, role: str) -> Caller:
        if role not in self.spares:
            if role in ("viewer", "operator", "admin"):
                email = self.new_user(role)["email"]
                self.spares[role] = Caller(role, lambda: self.sign_in(email))
            elif role in _SCOPES:
                self.spares[role] = Caller(role, lambda: self.new_key(_SCOPES[role])["key"])
            else:
                self.spares[role] = self.callers[role]
        return self.spares[role]

    def __post_init__(self) -> None:
        self.session.headers["user-agent"] = "tests"
        self.tenant_id, self.admin_email = self.new_tenant()
        self.admin = Caller("admin", lambda: self.sign_in(self.admin_email))
        self.callers["nobody"] = Caller("nobody", lambda: None)
        for role in ("viewer", "operator", "admin"):
            email = self.new_user(role)["email"]
            self.callers[role] = Caller(role, lambda email=email: self.sign_in(email))  # type: ignore[misc]
        for role, scopes in _SCOPES.items():
            self.callers[role] = Caller(role, lambda scopes=scopes: self.new_key(scopes)["key"])  # type: ignore[misc]
        one = ["recognize", "register", "delete", "embeddings:read"]
        self.callers["key:one collection"] = Caller("", lambda: self.new_key(one, collections=["lobby"])["key"])
        self.callers["platform operator"] = Caller("", lambda: self.operator_token)
        self.callers["metrics"] = Caller("", lambda: self.metrics_token)
        assert set(self.callers) == set(ROLES)

    def send(self, method: str, path: str, token: str | None = None, **options: object) -> requests.Response:
        headers = {"authorization": f"Bearer {token}"} if token else self.admin.headers()
        answer = self.session.request(method, f"{self.base}/api/v1{path}", headers=headers, **options)  # type: ignore[arg-type]
        return answer

    def get(self, method: str, path: str, token: str | None = None, **options: object) -> dict[str, str]:
        answer = self.send(method, path, token, **options)
        assert answer.status_code < 300, f"{method} {path}: {answer.text}"
        found: dict[str, str] = answer.json()
        return found

    def new_tenant(self) -> tuple[str, str]:
        email = f"{uuid4().hex}@example.com"
        body = {"tenant": "Acme", "email": email, "password": PASSWORD, "plan": "unlimited"}
        return self.get("POST", "/operator/tenants", self.operator_token, json=body)["tenant_id"], email

    def sign_in(self, email: str) -> str:
        form = {"username": email, "password": PASSWORD}
        return self.get("POST", "/auth/token", "none", data=form)["access_token"]

    def new_user(self, role: str = "viewer") -> dict[str, str]:
        return self.get(
            "POST", "/users", json={"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "role": role}
        )

    def new_key(self, scopes: list[str], **fields: object) -> dict[str, str]:
        return self.get("POST", "/keys", json={"name": uuid4().hex, "scopes": scopes, **fields})

    def furnish(self, path: str) -> dict[str, str]:
        """Return a value for every parameter of a path; whatever it names exists."""
        known: dict[str, str] = {}
        if "{collection}" in path:
            self.send("POST", "/collections", json={"name": "lobby"})
            known["collection"] = "lobby"
        if "{subject}" in path or "{recognizer}" in path:
            files = {"images": ("photo.jpg", pictures.photo(1), "image/jpeg")}
            form = {"collection": "lobby", "subject": "ada", "consent": "form 7"}
            stored = self.get("POST", "/register", data=form, files=files)
            known |= {"subject": "ada", "recognizer": stored["recognizer"]}
            known["face_id"] = stored["templates"][0]["face_id"]  # type: ignore[index]
        if "{user_id}" in path:
            known["user_id"] = self.new_user()["user_id"]
        if "{key_id}" in path:
            kind = "access-keys" if "access-keys" in path else "keys"
            body = (
                {"scopes": ["recognize"]} if kind == "access-keys" else {"scopes": ["recognize"], "name": uuid4().hex}
            )
            known["key_id"] = self.get("POST", f"/{kind}", json=body)["key_id"]
        if "{tenant_id}" in path:
            known["tenant_id"] = self.new_tenant()[0]
        if "{name}" in path:
            known["name"] = "generated"
        return known


def known_for(path: str, known: dict[str, str]) -> dict[str, str]:
    """Return the values of the parameters in a path."""
    return {name: value for name, value in known.items() if f"{{{name}}}" in path}
