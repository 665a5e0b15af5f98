"""Do what a program with a generated Python client does, and print the answers as one JSON document.

    python client.py PHOTOS      (a folder with known.jpg, again.jpg and empty.jpg)

The server is in VULTUS_URL, the login in VULTUS_EMAIL and VULTUS_PASSWORD.
"""

import base64
import json
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from vultus_api import AuthenticatedClient, Client
from vultus_api.api.auth import token
from vultus_api.api.recognition import recognize, recognize_batch, register, verify
from vultus_api.api.subjects import list_subjects
from vultus_api.models.problem import Problem
from vultus_api.models.recognize_batch_json_body import RecognizeBatchJsonBody
from vultus_api.models.recognize_files_body import RecognizeFilesBody
from vultus_api.models.register_files_body import RegisterFilesBody
from vultus_api.models.register_files_body_metadata import RegisterFilesBodyMetadata
from vultus_api.models.token_form import TokenForm
from vultus_api.models.verify_files_body import VerifyFilesBody
from vultus_api.types import File

T = TypeVar("T")
PHOTOS = Path(sys.argv[1])


def expect(answer: T | Problem | None) -> T:
    assert answer is not None
    assert not isinstance(answer, Problem), answer.detail
    return answer


def photo(name: str) -> File:
    return File(BytesIO((PHOTOS / f"{name}.jpg").read_bytes()), f"{name}.jpg", "image/jpeg")


def encoded(name: str) -> str:
    return base64.b64encode((PHOTOS / f"{name}.jpg").read_bytes()).decode()


def main() -> None:
    url = os.environ["VULTUS_URL"]
    login = TokenForm(username=os.environ["VULTUS_EMAIL"], password=os.environ["VULTUS_PASSWORD"])
    signed_in = expect(token.sync(client=Client(url), body=login))
    client = AuthenticatedClient(url, token=signed_in.access_token)

    metadata = RegisterFilesBodyMetadata.from_dict({"team": 7})
    person = RegisterFilesBody(subject="emp-1042", name="Ada Acker", metadata=metadata, images=[photo("known")])
    batch = RecognizeBatchJsonBody(images=[encoded("again"), encoded("empty"), "AAAA"])
    answers: dict[str, Any] = {
        "registered": expect(register.sync(client=client, body=person)),
        "recognized": expect(recognize.sync(client=client, body=RecognizeFilesBody(image=photo("again"), limit=1))),
        "batch": expect(recognize_batch.sync(client=client, body=batch)),
        "verified": expect(verify.sync(client=client, body=VerifyFilesBody(image=photo("again"), subject="emp-1042"))),
        "subjects": expect(list_subjects.sync("default", client=client, q="ada")),
    }
    missing = verify.sync_detailed(client=client, body=VerifyFilesBody(image=photo("again"), subject="nobody"))
    assert isinstance(missing.parsed, Problem)
    answers["missing"] = missing.parsed
    results = {name: answer.to_dict() for name, answer in answers.items()}
    print(json.dumps({**results, "contentType": missing.headers["content-type"]}))


if __name__ == "__main__":
    main()
