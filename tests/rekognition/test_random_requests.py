"""Whatever the shapes of botocore's service model bring forth: no 5xx, and every answer is as the model says.

`RANDOM_REQUESTS` says how many are sent.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.rekognition.conftest import REGION, Tenant, make_tenant
from tests.rekognition.random_requests import COLLECTIONS, DESTROYING, FACES, SUPPORTED, Request, find_faults, requests

_REQUESTS = int(os.environ.get("RANDOM_REQUESTS", "600"))
_FEW, _MAX_IDLE = 600, 3
_OF_STORES = {f"{verb}Face{what}" for verb in ("Start", "Get") for what in ("Detection", "Search")}
"""Need a video in an object store, which this tenant has not: they only ever refuse."""
"""Of so many requests, every operation but a few answers at least one."""
_ROUND = 10
"""So many are drawn afresh; of more, most would be variations of those before."""
_MAX_LOST = 3
"""After so many deletions of faces and users there is little left to delete."""
_LONGEST_S = 30
_PREFIX = "RekognitionService"


class Prepared:
    """A tenant with two collections: one that stays, and one that is made again when much of it was deleted."""

    def __init__(self, tenant: Tenant, http: httpx.Client) -> None:
        self._base = tenant.base
        self._http = http
        self._signer = SigV4Auth(Credentials(tenant.access_key_id, tenant.secret), "rekognition", REGION)
        self._lost = 0
        mark = uuid4().hex[:8]
        self.known = {"collection:kept": f"kept.{mark}", "collection:doomed": f"{mark:_<255}"}
        self.answers = Counter[tuple[str, str]]()
        for name in COLLECTIONS:
            self._fill(name)
        self._find_tokens()

    def send(self, request: Request) -> tuple[bytes, httpx.Response]:
        """The body that was sent, and the answer."""
        if self._lost >= _MAX_LOST:
            gone = Request(f"{_PREFIX}.DeleteCollection", '{"CollectionId": "<collection:doomed>"}')
            self._post(gone.target, gone.body(self.known))
            self._fill("doomed")
            self._lost = 0
        body = request.body(self.known)
        answer = self._post(request.target, body, path=request.path)
        if request.operation in DESTROYING and answer.status_code == 200:
            self._lost += _MAX_LOST if request.operation == "DeleteCollection" else 1
        return body, answer

    def _post(self, target: str | None, body: bytes, *, path: str = "/rekognition") -> httpx.Response:
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        if target is not None:
            headers["X-Amz-Target"] = target
        signed = AWSRequest("POST", self._base + path, headers=headers, data=body)
        self._signer.add_auth(signed)
        # As bytes, since a target may hold what is not ASCII.
        sent = [(name.encode(), value.encode("latin-1")) for name, value in signed.headers.items()]
        return self._http.post(self._base + path, content=body, headers=sent)

    def _ask(self, operation: str, text: str) -> Any:
        request = Request(f"{_PREFIX}.{operation}", text)
        sent = request.body(self.known)
        answer = self._post(request.target, sent)
        found = find_faults(request, sent, answer)
        assert answer.status_code == 200, answer.text
        assert not found, f"{found}\n{request}\n{answer.text[:1000]}"
        return answer.json()

    def _fill(self, name: str) -> None:
        """A collection, faces in it, and users whose first has one of the faces."""
        collection = f'"CollectionId": "<collection:{name}>"'
        arn = self._ask("CreateCollection", f"{{{collection}}}")["CollectionArn"]
        indexed = self._ask("IndexFaces", f'{{{collection}, "Image": {{"Bytes": "<picture:three>"}}}}')
        assert len(indexed["FaceRecords"]) == FACES
        for index, record in enumerate(indexed["FaceRecords"]):
            self.known[f"face:{name}-{index}"] = record["Face"]["FaceId"]
        self.known[f"user:{name}-nobody"] = f"face@{self.known[f'face:{name}-1']}"  # what stands for it within
        for index, user in enumerate(["7", "\u00e9" * 128, "\u4e00"]):  # the longest is not the last
            self.known[f"user:{name}-{index}"] = user
            self._ask("CreateUser", f'{{{collection}, "UserId": "<user:{name}-{index}>"}}')
        self._ask("AssociateFaces", f'{{{collection}, "UserId": "<user:{name}-0>", "FaceIds": ["<face:{name}-0>"]}}')
        self.known[f"arn:{name}"] = f"arn:{arn}"
        self.known[f"arn:{name}-short"] = arn
        self.known["arn:gone"] = f"{arn}-gone"
        self.known["arn:stranger"] = "arn:" + re.sub(r"\d{12}", "000000000000", arn)

    def _find_tokens(self) -> None:
        collection = '"CollectionId": "<collection:kept>", '
        for name, operation, text in (
            ("faces", "ListFaces", f'{collection}"MaxResults": 1'),
            ("users", "ListUsers", f'{collection}"MaxResults": 2'),
            ("collections", "ListCollections", '"MaxResults": 1'),
        ):
            self.known[f"token:{name}"] = self._ask(operation, f"{{{text}}}")["NextToken"]


@pytest.fixture(scope="module")
def prepared(server: str) -> Iterator[Prepared]:
    with make_tenant(server) as tenant, httpx.Client(timeout=_LONGEST_S) as http:
        made = Prepared(tenant, http)
        yield made
        print()
        for (operation, outcome), count in sorted(made.answers.items()):
            print(f"{count:6} {operation} {outcome}")


def test_random_requests(prepared: Prepared) -> None:
    passed: set[Request] = set()

    @settings(
        max_examples=_ROUND,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(request=requests())
    def check(request: Request) -> None:
        # Not `assume`: a repeated example is in `passed`, which makes the assumption unreliable.
        if request in passed and "ClientRequestToken" not in request.text:
            return
        sent, answer = prepared.send(request)
        code = "" if answer.status_code == 200 else answer.headers.get("x-amzn-errortype")
        prepared.answers[request.operation or "no operation", f"{answer.status_code} {code}"] += 1
        found = find_faults(request, sent, answer)
        assert not found, f"{found}\n{request}\n{sent[:500]!r}\n{answer.status_code} {answer.text[:500]}"
        passed.add(request)

    for number in range(-(-_REQUESTS // _ROUND)):
        seed(number)(check)()
    # They mean something only if operations also do what they are there for.
    idle = set(SUPPORTED) - {operation for operation, outcome in prepared.answers if outcome.startswith("200")}
    assert len(idle - _OF_STORES) <= _MAX_IDLE or _REQUESTS < _FEW, idle
