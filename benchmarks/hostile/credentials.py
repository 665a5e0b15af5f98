"""Send altered tokens, API keys and signatures, and several credentials at once; none may be accepted."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.goals import at_least, at_most
from benchmarks.hostile.signatures import alter_signatures
from benchmarks.hostile.tokens import alter_token, decode, reseal
from tests.schema.callers import PASSWORD, Stage

MIN_ALTERATIONS = 120
Headers = list[tuple[str, str]]


@dataclass
class Verdicts:
    """What became of the alterations."""

    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, kind: str, name: str, answer: httpx.Response) -> None:
        """Count the answer to an altered credential."""
        self.kinds[kind] += 1
        self.outcomes[f"{kind}: {answer.status_code}"] += 1
        if answer.status_code < 300:
            self.accepted.append(f"{kind}: {name}")
        if answer.status_code >= 500:
            self.failed.append(f"{kind}: {name}: {answer.status_code}")

    def describe(self) -> dict[str, Any]:
        return {
            "what": "altered credentials",
            "alterations": dict(self.kinds),
            "statuses": dict(sorted(self.outcomes.items())),
            "accepted": self.accepted,
            "5xx": self.failed,
            "goals": [
                at_least("altered credentials", MIN_ALTERATIONS, self.kinds.total(), "alterations"),
                at_most("altered credentials: accepted", 0, len(self.accepted), "alterations"),
                at_most("altered credentials: answers 5xx", 0, len(self.failed), "answers"),
            ],
        }


class Forger:
    """Somebody with an account of their own, who knows the ids of another tenant."""

    def __init__(self, base: str, stage: Stage, *, secret: bytes, email: str, other_token: str) -> None:
        """`secret` is the server's, `email` of the own account, `other_token` an access token of another tenant."""
        self._client = httpx.Client(base_url=base, timeout=60)
        self._stage = stage
        self._secret = secret
        self._email = email
        self._other_token = other_token
        self._other = decode(other_token)[1]

    def try_all(self) -> Verdicts:
        """Send everything; raises `AssertionError` if an unaltered credential is refused."""
        verdicts = Verdicts()
        self._try_access_tokens(verdicts)
        self._try_refresh_tokens(verdicts)
        key = self._stage.new_key(["admin", "recognize"])
        assert self._me([("x-api-key", key)]).status_code == 200
        for name, altered in _alter_key(key, self._stage.new_key(["admin"])):
            for header in ("x-api-key", "authorization"):
                text = altered if header == "x-api-key" else f"Bearer {altered}"
                verdicts.add("API key", f"{name} in {header}", self._me([(header, text)]))
        for name, headers, query in self._several(key):
            verdicts.add("several credentials", name, self._me(headers, query))
        for name, send in alter_signatures(self._client, self._stage.access_key(["admin", "recognize"])):
            verdicts.add("signature", name, send())
        return verdicts

    def _try_access_tokens(self, verdicts: Verdicts) -> None:
        tokens = self._sign_in()
        token = tokens["access_token"]
        for good in (token, reseal(token, self._secret)):
            assert self._me(_bearer(good)).status_code == 200
        other = decode(token)[1] | {name: self._other[name] for name in ("tid", "sub", "sid")}
        for name, altered in alter_token(token, self._secret, other):
            verdicts.add("access token", name, self._me(_bearer(altered)))
        verdicts.add("access token", "a refresh token", self._me(_bearer(tokens["refresh_token"])))
        assert self._me(_bearer(token)).status_code == 200

    def _try_refresh_tokens(self, verdicts: Verdicts) -> None:
        tokens = self._sign_in()
        good = reseal(tokens["refresh_token"], self._secret)
        assert self._refresh(good).status_code == 200
        tokens = self._sign_in()
        other = decode(tokens["refresh_token"])[1] | {name: self._other[name] for name in ("tid", "sub", "sid")}
        for name in dict(alter_token(tokens["refresh_token"], self._secret, other)):
            altered = dict(alter_token(tokens["refresh_token"], self._secret, other))[name]
            verdicts.add("refresh token", name, self._refresh(altered))
            if self._me(_bearer(tokens["access_token"])).status_code != 200:
                tokens = self._sign_in()  # it counted as used twice, and ended the session
        for name, value in (
            ("an access token", tokens["access_token"]),
            ("a number", 7),
            ("null", None),
            ("a list", []),
        ):
            verdicts.add("refresh token", name, self._refresh(value))

    def _several(self, key: str) -> Iterator[tuple[str, Headers, str]]:
        """Two credentials that disagree, and one where none is read."""
        good = self._sign_in()["access_token"]
        forged, theirs = good[:-5] + "AAAAA", self._other_token
        for other, what in ((forged, "a forged token"), (theirs, "another tenant's token"), (key, "an API key")):
            yield f"a token, then {what}", [*_bearer(good), *_bearer(other)], ""
            yield f"{what}, then a token", [*_bearer(other), *_bearer(good)], ""
            yield f"a token and {what} in one field", [("authorization", f"Bearer {good}, Bearer {other}")], ""
            yield f"a token, and {what} as a key", [*_bearer(good), ("x-api-key", other)], ""
        yield "a forged token and an API key", [*_bearer(forged), ("x-api-key", key)], ""
        yield "two keys", [("x-api-key", key), ("x-api-key", key[:-1] + "_")], ""
        yield "a wrong key, then the right one", [("x-api-key", key[:-1] + "_"), ("x-api-key", key)], ""
        basic = base64.b64encode(f"{self._email}:{PASSWORD}".encode()).decode()
        for scheme in ("Basic", "Digest", "Token", "ApiKey", "Bearer Bearer", "JWT"):
            yield f"scheme {scheme}", [("authorization", f"{scheme} {good}")], ""
        yield "Basic with the password", [("authorization", f"Basic {basic}")], ""
        yield "no scheme", [("authorization", good)], ""
        yield "cookie", [("cookie", f"access_token={good}; authorization=Bearer {good}")], ""
        for header in ("x-access-token", "x-auth-token", "proxy-authorization", "x-forwarded-authorization"):
            yield header, [(header, f"Bearer {good}")], ""
        for name in ("access_token", "api_key", "x-api-key", "token"):
            yield f"query {name}", [], f"?{name}={good}"

    def _sign_in(self) -> dict[str, str]:
        form = {"username": self._email, "password": PASSWORD}
        found: dict[str, str] = self._client.post("/api/v1/auth/token", data=form).raise_for_status().json()
        return found

    def _me(self, headers: Headers, query: str = "") -> httpx.Response:
        raw = [(name.encode(), value.encode("utf-8")) for name, value in headers]
        return self._client.get(f"/api/v1/auth/me{query}", headers=raw)

    def _refresh(self, token: Any) -> httpx.Response:
        body = json.dumps({"refresh_token": token}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return self._client.post("/api/v1/auth/refresh", content=body, headers={"content-type": "application/json"})


def _alter_key(key: str, other: str) -> Iterator[tuple[str, str]]:
    prefix, public, secret = key[:3], key[3:19], key[20:]
    changes: dict[str, Callable[[], str]] = {
        "secret reversed": lambda: f"{prefix}{public}_{secret[::-1]}",
        "secret truncated": lambda: key[:-1],
        "secret longer": lambda: key + "A",
        "secret of another key": lambda: f"{prefix}{public}_{other[20:]}",
        "id of another key": lambda: f"{prefix}{other[3:19]}_{secret}",
        "no secret": lambda: f"{prefix}{public}_",
        "no id": lambda: f"{prefix}_{secret}",
        "upper case": key.upper,
        "upper prefix": lambda: "VK_" + key[3:],
        "no prefix": lambda: key[3:],
        "space inside": lambda: key[:20] + " " + key[20:],
        "percent-encoded": lambda: key.replace("_", "%5F"),
        "full-width letter": lambda: key[:-1] + chr(ord(key[-1]) + 0xFEE0),
        "two keys": lambda: f"{key},{other}",
        "quoted": lambda: f'"{key}"',
        "wildcard": lambda: f"{prefix}{public}_%",
        "SQL": lambda: f"{prefix}' OR ''='_{secret}",
        "very long": lambda: key + "A" * 7000,
    }
    yield from ((name, make()) for name, make in changes.items())


def _bearer(token: str) -> Headers:
    return [("authorization", f"Bearer {token}")]
