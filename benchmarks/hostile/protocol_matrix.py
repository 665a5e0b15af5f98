"""Call every operation of the Rekognition protocol, with keys of every scope, on another tenant's things."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.permissions import Scope, permissions_of
from app.rekognition.operations import OPERATIONS
from benchmarks.hostile.matrix import OWN, Findings
from benchmarks.hostile.signed import call, code_of
from benchmarks.hostile.victim import Victim, tables_changed
from tests import pictures
from tests.schema.callers import Stage

SCOPES: dict[str, list[str]] = {scope.value: [scope.value] for scope in Scope} | {
    "all scopes": ["register", "recognize", "delete", "admin"]
}
NOT_FOUND, INVALID, BAD_TOKEN = (
    "ResourceNotFoundException",
    "InvalidParameterException",
    "InvalidPaginationTokenException",
)
_IMAGE = {"Bytes": base64.b64encode(pictures.photo(7)).decode()}


@dataclass(frozen=True)
class Asked:
    """An operation, its parameters, and the outcome for a key that has the operation's permission."""

    operation: str
    variant: str
    parameters: dict[str, Any]
    outcome: str

    def __str__(self) -> str:
        return f"{self.operation} ({self.variant})"


def asked_of(victim: Victim, tokens: dict[str, str]) -> Iterator[Asked]:
    """Yield what is asked: in the other tenant's collection, then for its faces and users in an own one."""
    theirs, face, user = {"CollectionId": victim.collection}, victim.ids["face_id"], victim.subject
    more: dict[str, dict[str, Any]] = {
        "DescribeCollection": {}, "DeleteCollection": {}, "ListFaces": {}, "ListUsers": {},
        "IndexFaces": {"Image": _IMAGE},
        "DeleteFaces": {"FaceIds": [face]}, "SearchFaces": {"FaceId": face}, "SearchFacesByImage": {"Image": _IMAGE},
        "SearchUsers": {"UserId": user}, "SearchUsersByImage": {"Image": _IMAGE}, "CreateUser": {"UserId": user},
        "DeleteUser": {"UserId": user}, "AssociateFaces": {"UserId": user, "FaceIds": [face]},
        "DisassociateFaces": {"UserId": user, "FaceIds": [face]},
    }  # fmt: skip
    for operation, parameters in more.items():
        yield Asked(operation, "their collection", theirs | parameters, NOT_FOUND)
    arn = {"ResourceArn": victim.ids["arn"]}
    yield Asked("TagResource", "their collection", arn | {"Tags": {"a": "b"}}, NOT_FOUND)
    yield Asked("UntagResource", "their collection", arn | {"TagKeys": ["a"]}, NOT_FOUND)
    yield Asked("ListTagsForResource", "their collection", arn, NOT_FOUND)
    yield Asked("DetectFaces", "their photo", {"Image": _IMAGE}, "ok")
    yield Asked("CompareFaces", "their photo", {"SourceImage": _IMAGE, "TargetImage": _IMAGE}, "ok")
    yield from _in_own(face, user, tokens)
    # Last, since it makes a collection of the same name.
    yield Asked("CreateCollection", "their name", theirs, "ok")


def _in_own(face: str, user: str, tokens: dict[str, str]) -> Iterator[Asked]:
    own = {"CollectionId": OWN["collection"]}
    named, variant = own | {"UserId": OWN["subject"]}, "own collection"
    yield Asked("SearchFaces", variant, own | {"FaceId": face}, INVALID)
    yield Asked("SearchUsers", variant, own | {"FaceId": face}, INVALID)
    yield Asked("SearchUsers", f"{variant}, their user", own | {"UserId": user}, NOT_FOUND)
    yield Asked("SearchFacesByImage", "their photo in an own collection", own | {"Image": _IMAGE}, "ok")
    yield Asked("SearchUsersByImage", "their photo in an own collection", own | {"Image": _IMAGE}, "ok")
    yield Asked("ListFaces", variant, own | {"FaceIds": [face]}, "ok")
    yield Asked("ListFaces", f"{variant}, their user", own | {"UserId": user}, NOT_FOUND)
    yield Asked("DeleteFaces", variant, own | {"FaceIds": [face]}, "ok")
    yield Asked("DeleteUser", variant, own | {"UserId": user}, NOT_FOUND)
    yield Asked("AssociateFaces", f"{variant}, their user", own | {"UserId": user, "FaceIds": [face]}, NOT_FOUND)
    yield Asked("AssociateFaces", variant, named | {"FaceIds": [face]}, "ok")
    yield Asked("DisassociateFaces", variant, named | {"FaceIds": [face]}, "ok")
    yield Asked("ListCollections", "their token", {"NextToken": tokens["ListCollections"]}, BAD_TOKEN)
    yield Asked("ListFaces", "their token", own | {"NextToken": tokens["ListFaces"]}, BAD_TOKEN)
    yield Asked("ListUsers", "their token", own | {"NextToken": tokens["ListUsers"]}, BAD_TOKEN)


class ProtocolMatrix:
    """The calls of keys of one tenant against another tenant."""

    def __init__(self, stage: Stage, victim: Victim) -> None:
        self._stage = stage
        self._victim = victim
        stage.furnish("/collections/{collection}/subjects/{subject}")

    def check(self, scopes: dict[str, list[str]] = SCOPES) -> Findings:
        """Ask everything with a key of each scope, unsigned, and with a wrong secret."""
        findings, tokens = Findings(), self._tokens()
        before = self._victim.settle()
        keys: dict[str, tuple[str, str] | None] = {"unsigned": None}
        keys |= {name: self._stage.access_key(wanted) for name, wanted in scopes.items()}
        keys["wrong secret"] = (self._victim.access_key[0], "x" * 40)
        for name, key in keys.items():
            for asked in asked_of(self._victim, tokens):
                self._ask(asked, name, key, _expect(asked, name, scopes), findings)
                if (after := self._victim.dump()) != before:
                    findings.changed.append(f"{name}: {asked}: {tables_changed(before, after)}")
                    before = after
            self._stage.drop_collection(self._victim.collection)
        return findings

    def _ask(self, asked: Asked, name: str, key: tuple[str, str] | None, expected: str, findings: Findings) -> None:
        answer = call(self._stage.session, self._stage.base, asked.operation, asked.parameters, key)
        code = code_of(answer)
        findings.calls[asked.variant] += 1
        findings.statuses[f"{asked.variant}: {code}"] += 1
        sent = json.dumps(asked.parameters) + " ".join(key or ())
        if found := self._victim.shown_in(f"{answer.text} {dict(answer.headers)}", sent):
            findings.shown.append(f"{name}: {asked}: {code} {found[:3]}")
        if answer.status_code >= 500:
            findings.failed.append(f"{name}: {asked}: {answer.status_code} {answer.text[:200]}")
        elif code != expected:
            findings.unexpected.append(f"{name}: {asked}: {code} instead of {expected} {answer.text[:200]}")

    def _tokens(self) -> dict[str, str]:
        """Return the other tenant's own `NextToken` of each list."""
        wanted = {"ListCollections": {}, "ListFaces": {"CollectionId": self._victim.collection}}
        wanted["ListUsers"] = wanted["ListFaces"]
        found = {}
        for operation, parameters in wanted.items():
            answer = call(
                self._stage.session,
                self._stage.base,
                operation,
                parameters | {"MaxResults": 1},
                self._victim.access_key,
            )
            found[operation] = str(answer.json()["NextToken"])
        return found


def _expect(asked: Asked, name: str, scopes: dict[str, list[str]]) -> str:
    if name == "unsigned":
        return "MissingAuthenticationTokenException"
    if name == "wrong secret":
        return "InvalidSignatureException"
    may = OPERATIONS[asked.operation].permission in permissions_of(scopes[name])
    return asked.outcome if may else "AccessDeniedException"
