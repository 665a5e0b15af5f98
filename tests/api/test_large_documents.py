"""Documents of the import that are large, deep or crafted: refused before they are parsed, or read in parts."""

import asyncio
import json
import random
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.schemas import subject_documents
from app.schemas.portability import MAX_TEMPLATES, SubjectDocument
from app.schemas.subject_documents import DocumentInvalid, read_subject_document
from tests.api.conftest import Account, problem

FACE: dict[str, Any] = {
    "recognizer": "synthetic:1",
    "embedding": [1.0] + [0.0] * 511,
    "detection_score": 0.9,
    "quality": {"sharpness": 90.5, "score": 70},
    "source": "register",
    "created_at": "2026-01-01T00:00:00Z",
}
START = b'{"collection":"default","subject":"ada",'


def document(**changes: Any) -> dict[str, Any]:
    return {
        "collection": "default",
        "subject": "ada",
        "metadata": {"faces": [1, {"a": "]}"}]},
        "faces": [FACE],
        **changes,
    }


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("faces", [0, 1, 3])
def test_parts_say_what_the_whole_says(indent: int | None, ensure_ascii: bool, faces: int) -> None:
    sent = document(name='Zoë "]}{[" \\', faces=[{**FACE, "source": f'a"{index}]}}'} for index in range(faces)])
    data = json.dumps(sent, indent=indent, ensure_ascii=ensure_ascii).encode()
    read, whole = read_subject_document(data), SubjectDocument.model_validate_json(data)
    assert read.document == whole.model_copy(update={"faces": []})
    assert [face.source for face in read.faces] == [face.source for face in whole.faces]
    assert [list(face.embedding) for face in read.faces] == [face.embedding for face in whole.faces]


def test_an_escaped_key_is_the_same_key() -> None:
    data = json.dumps(document()).replace('"faces": [{"rec', '"f\\u0061ces": [{"rec').encode()
    assert len(read_subject_document(data).faces) == 1


def test_a_document_without_faces_has_none() -> None:
    assert read_subject_document(START[:-1] + b"}").faces == []


REFUSED = {
    "many keys": START + b'"metadata":{' + b",".join(b'"k%d":1' % number for number in range(900_000)) + b"}}",
    "many lists": START + b'"metadata":{"a":[' + b"[]," * 4_000_000 + b"1]}}",
    "deep lists": START + b'"metadata":' + b"[" * 4_000_000 + b"]" * 4_000_000 + b"}",
    "deep objects": START + b'"audit":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
    "many faces": START + b'"faces":[' + b"{}," * 4_000_000 + b"{}]}",
    "long embedding": START + b'"faces":[{"embedding":[' + b"1," * 7_000_000 + b"1]}]}",
    "many qualities": START + b'"faces":[{"quality":{' + b'"a":1,' * 5_000 + b'"a":1}}]}',
    "deep face": START + b'"faces":[{"a":' + b"[" * 60 + b"]" * 60 + b"}]}",
    "long text": START + b'"name":"' + b"a" * 10_000_000 + b'"}',
    "unfinished text": START + b'"name":"' + b'\\"' * 5_000_000,
    "numbers for faces": START + b'"faces":[1,2,3]}',
    "texts for faces": START + b'"faces":["a"]}',
    "lists for faces": START + b'"faces":[[],[]]}',
    "no comma": START + b'"faces":[{}{}]}',
    "two commas": START + b'"faces":[{},,{}]}',
    "last comma": START + b'"faces":[{},]}',
    "no end": START + b'"faces":[{}',
    "twice": START + b'"faces":[],"faces":[]}',
    "wrong bracket": START + b'"faces":[{]]}',
    "wrong end": START + b'"faces":[}',
    "spaces": b" " * 5_000_000 + b"1",
    "brackets": b"]" * 5_000_000,
    "nothing": b"",
    "null": b"null",
    "not utf-8": START + b'"name":"\xff"}',
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_crafted_document_is_refused(case: str) -> None:
    with pytest.raises((InvalidParameter, DocumentInvalid)) as raised:
        read_subject_document(REFUSED[case])
    assert len(str(raised.value)) < 1000


def test_windows_find_the_same_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    for _ in range(2_000):
        data = bytes(rng.choice(b'"\\\\[]{}a, :') for _ in range(rng.randrange(60)))
        monkeypatch.setattr(subject_documents, "_WINDOW_BYTES", window := rng.randrange(12, 64))
        whole = [part.span() for part in subject_documents._PARTS.finditer(data)]
        parts = [part.span() for part in subject_documents._iterate_parts(data)]
        assert parts == whole or any(end - begin >= window for begin, end in whole)


def test_no_search_is_longer_than_a_window() -> None:
    parts = subject_documents._iterate_parts(REFUSED["long text"])
    assert max(part.end() - part.start() for part in parts) <= subject_documents._WINDOW_BYTES


async def test_the_event_loop_turns_while_a_large_document_is_read() -> None:
    data = json.dumps(document(faces=[FACE] * MAX_TEMPLATES)).encode()
    reading = asyncio.ensure_future(asyncio.to_thread(read_subject_document, data))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await reading).faces) == MAX_TEMPLATES
    assert turns > 100


async def test_refusals_name_the_part(admin: Account) -> None:
    answer = await admin.client.post("/subjects/import", content=REFUSED["many keys"])
    assert problem(answer) == "422 invalid_parameter"
    assert "1048576 bytes" in answer.json()["detail"]
    wrong = document(faces=[{**FACE, "face_id": None}, {**FACE, "embedding": [0.1]}])
    answer = await admin.client.post("/subjects/import", json=wrong)
    assert answer.json()["errors"][0]["field"].startswith("faces.1.embedding")


async def test_a_key_answers_the_same_import_once(admin: Account) -> None:
    sent, headers = json.dumps(document(faces=[])), {"idempotency-key": "import-1"}
    first = await admin.client.post("/subjects/import", content=sent, headers=headers)
    again = await admin.client.post("/subjects/import", content=sent, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = await admin.client.post("/subjects/import", json=document(faces=[], name="Ada"), headers=headers)
    assert problem(other) == "422 idempotency_key_reused"
