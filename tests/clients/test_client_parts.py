"""The parts of the client that need no server, and its generated modules."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

import generate_client as generate
from app import errors
from vultus_client import Retries, WebhookRefused, verify_webhook
from vultus_client.calls import Call
from vultus_client.errors import ApiError
from vultus_client.uploads import name_photos

_WRITE = "run python clients/python/generate_client.py"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"seq": 1, "id": "evt_1", "type": "subject.created", "timestamp": "", "data": {}})


def signed(at: datetime, secret: str = SECRET) -> dict[str, str]:
    signature = Webhook(secret).sign("msg_1", at, BODY)
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}


def test_messages_signed_by_the_reference_implementation_are_accepted() -> None:
    assert verify_webhook(SECRET, signed(datetime.now(UTC)), BODY.encode())["type"] == "subject.created"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(datetime.now(UTC)), BODY + " "),
        (signed(datetime.now(UTC), "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), BODY),
        (signed(datetime.now(UTC) - timedelta(minutes=6)), BODY),
        ({}, BODY),
        (signed(datetime.now(UTC)) | {"Webhook-Timestamp": "soon"}, BODY),
        (signed(datetime.now(UTC)) | {"Webhook-Signature": "v1,é"}, BODY),
    ],
)
def test_other_messages_are_refused(headers: dict[str, str], body: str) -> None:
    with pytest.raises(WebhookRefused):
        verify_webhook(SECRET, headers, body)


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_is_what_the_server_asks_for(status: int) -> None:
    asked = httpx.Response(status, headers={"retry-after": "7"})
    pause_s = Retries().after_response(Call("GET", "/"), 1, asked)
    assert pause_s is not None
    assert 7.0 <= pause_s <= 7.1
    assert Retries(max_wait_s=6.0).after_response(Call("GET", "/"), 1, asked) is None
    assert Retries(count=2).after_response(Call("GET", "/"), 3, asked) is None


def test_waits_grow_up_to_a_limit_where_the_server_asks_for_none() -> None:
    random.seed(1)
    pauses = [Retries(count=9).after_response(Call("GET", "/"), tries, httpx.Response(503)) for tries in range(1, 9)]
    assert all(pause_s is not None and pause_s <= 8.0 for pause_s in pauses)
    assert str(pauses[0]) < "0.5"


def test_a_refusal_without_a_problem_document_is_an_error_too() -> None:
    error = ApiError.of(httpx.Response(502, text="<html>"))
    assert (error.code, error.status, error.errors) == ("http_502", 502, [])
    assert ApiError.of(httpx.Response(400, json=[1])).code == "http_400"


def test_photos_get_their_ids(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "b/1.JPG", "b/2.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(name_photos(tmp_path)) == ["a/1.jpg", "b/1.JPG"]
    assert list(name_photos([tmp_path / "a" / "1.jpg"])) == ["1.jpg"]
    with pytest.raises(ValueError, match="two photos are named"):
        name_photos([tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg"])
    with pytest.raises(NotADirectoryError):
        name_photos(tmp_path / "missing")


def test_every_error_code_has_its_exception() -> None:
    codes = {kind.code for kind, _ in generate.kinds(errors.AppError)}
    assert codes <= {ApiError.of(httpx.Response(400, json={"code": code})).code for code in codes}
    assert all(type(ApiError.of(httpx.Response(400, json={"code": code}))) is not ApiError for code in codes)


def test_generated_modules_are_what_the_generator_writes() -> None:
    for path, text in generate.sync_modules().items():
        assert path.read_text() == text, f"{path.name}: {_WRITE}"
    assert (generate.PYTHON / "problems.py").read_text() == generate.error_module(), _WRITE


def test_the_models_have_every_field_of_the_api() -> None:
    import vultus_client.models as models

    for name, schema in generate.schemas()["components"]["schemas"].items():
        model = getattr(models, name, None)
        assert model is not None, f"{name}: {_WRITE} --models"
        if "properties" in schema:
            assert set(model.__annotations__) == set(schema["properties"]), f"{name}: {_WRITE} --models"
