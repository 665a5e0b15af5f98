"""Random requests of every operation: whatever a client sends, the answer has the protocol's shape and is no 5xx."""

import json
import random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests import pictures
from tests.compreface.conftest import error
from tests.compreface.test_access import CALLS
from tests.compreface.test_faces import add

_TEXTS = [
    "",
    "0",
    "-1",
    "1e9",
    "nan",
    "true",
    "ada",
    "Ada Acker",
    "\0",
    "\u202e",
    "🙂" * 90,
    "a" * 3000,
    "%",
    "..",
    "::",
]
_VALUES: list[Any] = [None, True, 0, -1, 1e308, "", "ada", "x" * 3000, [], {}, [[]], [None], {"a": 1}, "\ud800"]
_PARAMETERS = ["subject", "limit", "prediction_count", "det_prob_threshold", "face_plugins", "status", "page", "size"]
_FIELDS = ["file", "source_image", "target_image", "subject", "embeddings", "other"]


class Requests:
    """Makes requests from a seed."""

    def __init__(self, seed: int, face_id: str) -> None:
        self._random = random.Random(seed)
        self._face_id = face_id

    def make(self, name: str) -> tuple[str, str, dict[str, Any]]:
        """Return method, path and options of a request of one operation."""
        method, path = name.split()
        face = self._random.choice([self._face_id, str(uuid4()), "1", quote(self._random.choice(_TEXTS), safe="")])
        subject = quote(self._random.choice(_TEXTS), safe="")
        path = path.replace("{image_id}", face or "x").replace("{subject}", subject or "x")
        query = {
            name: self._random.choice(_TEXTS) for name in self._random.sample(_PARAMETERS, self._random.randint(0, 3))
        }
        return method, path + self._random.choice(["", "/"]), {"params": query, **self._body()}

    def _body(self) -> dict[str, Any]:
        fields = self._random.sample(_FIELDS, self._random.randint(0, 3))
        match self._random.randint(0, 4):
            case 0:
                document = {name: self._random.choice(_VALUES) for name in fields}
                return {"content": json.dumps(document), "headers": {"content-type": "application/json"}}
            case 1:
                value = self._random.choice([*_VALUES, [self._random.choice(_VALUES)]])
                return {"content": json.dumps(value), "headers": {"content-type": "application/json"}}
            case 2:
                photos = [pictures.photo(1), pictures.landscape(), b"", b"no photo", pictures.photo(1)[:500]]
                return {"files": {name: ("a.jpg", self._random.choice(photos)) for name in fields or ["file"]}}
            case 3:
                kinds = ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "image/jpeg"]
                body = self._random.randbytes(self._random.randint(0, 200))
                return {"content": body, "headers": {"content-type": self._random.choice(kinds)}}
            case _:
                return {}


@pytest.mark.parametrize("seed", range(3))
async def test_no_request_is_answered_with_a_failure(service: httpx.AsyncClient, seed: int) -> None:
    requests = Requests(seed, await add(service, "ada", pictures.photo(1)))
    statuses = set()
    for name in [*CALLS] * 8:
        method, path, options = requests.make(name)
        answer = await service.request(method, path, **options)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (method, path, options)
        if answer.status_code >= 400:
            error(answer)
    assert {200, 400} <= statuses
