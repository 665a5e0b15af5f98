"""Sign requests of the Rekognition protocol."""

import json
from typing import Any

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.rekognition.conftest import REGION

PREFIX = "RekognitionService"


def sign(base: str, operation: str, body: bytes, key: tuple[str, str]) -> dict[str, str]:
    """Return the headers of a signed request; `key` is an access key's id and secret."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{PREFIX}.{operation}"}
    request = AWSRequest("POST", f"{base}/rekognition", data=body, headers=headers)
    SigV4Auth(Credentials(*key), "rekognition", REGION).add_auth(request)
    return dict(request.headers)


def call(
    session: requests.Session, base: str, operation: str, parameters: dict[str, Any], key: tuple[str, str] | None
) -> requests.Response:
    """Call an operation, unsigned without a key."""
    body = json.dumps(parameters).encode()
    headers = sign(base, operation, body, key) if key else {"X-Amz-Target": f"{PREFIX}.{operation}"}
    return session.post(f"{base}/rekognition", data=body, headers=headers)


def code_of(answer: requests.Response) -> str:
    """Return the code of an error, or `ok`."""
    if answer.status_code == 200:
        return "ok"
    return str(answer.headers.get("x-amzn-errortype", answer.status_code))
