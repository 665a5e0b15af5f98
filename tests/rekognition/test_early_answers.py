"""A client that is answered while it still sends: it must be able to read the answer, and not be cut off."""

import json
import socket
import time

import pytest

from tests.rekognition.conftest import Tenant

LENGTH = 20_000_000
PATHS = {"/rekognition": "ImageTooLargeException", "/api/v1/recognize": "request_too_large"}


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_too_large_can_be_sent_on_after_the_answer(tenant: Tenant, path: str) -> None:
    host, port = tenant.base.removeprefix("http://").split(":")
    length = LENGTH if path == "/rekognition" else 10 * LENGTH
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n"
    head += "X-Amz-Target: RekognitionService.DetectFaces\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(head.encode() + b"\0" * 100_000)
        received = b""
        while piece := client.recv(65536):  # until the server has said all it will say
            received += piece
        answer = json.loads(received.partition(b"\r\n\r\n")[2])
        assert PATHS[path] in (answer.get("__type"), answer.get("code"))
        for _ in range(20):  # a reset would show within a few
            client.sendall(b"\0" * 100_000)
            time.sleep(0.01)
