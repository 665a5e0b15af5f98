"""Compressed bodies: the service reads none, and says so."""

import gzip

import httpx

from tests import pictures
from tests.api.conftest import Account, problem


async def test_compressed_bodies_are_refused(admin: Account, anonymous: httpx.AsyncClient) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    body = head + pictures.photo(1) + b"\r\n--XX--\r\n"
    for encoding in ("gzip", "GZIP", "br", "identity, gzip", "deflate, identity"):
        headers = {"content-type": "multipart/form-data; boundary=XX", "content-encoding": encoding}
        answer = await admin.client.post("/detect", content=gzip.compress(body), headers=headers)
        assert problem(answer) == "415 unsupported_media_type"
        assert f"Content-Encoding: {encoding}" in answer.json()["detail"]
        assert answer.headers["accept-encoding"] == "identity"
    headers["content-encoding"] = "identity"
    assert (await admin.client.post("/detect", content=body, headers=headers)).status_code == 200
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await anonymous.post("/auth/signup", content=gzip.compress(b"{}"), headers=headers)
    assert problem(answer) == "415 unsupported_media_type"
