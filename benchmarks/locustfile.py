"""Load-test a running Vultus with Locust: sign in, register, recognize, verify, list and delete people.

    LOAD_TEST_PASSWORD=... .venv/bin/locust -f benchmarks/locustfile.py --host http://127.0.0.1:8000 \\
        --email admin@example.com [--photos DIR] [--weight-recognize 8 ...]

Each simulated user signs in once and keeps a connection. Instead of a password, `LOAD_TEST_API_KEY` may have an API
key. `--photos` is a folder of JPEGs, each of one person; without it, people are drawn, which only the synthetic pack
recognizes. The options `--weight-register` to `--weight-delete` weigh the requests. People are registered in
`--collection`, which is created if necessary; their ids begin with `load-`, and they are erased at the end.

Only answers of the expected status count as successes. A refusal (429, 503) counts as a failure, and the user waits as
`Retry-After` says.
"""

import itertools
import os
import random
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from locust import FastHttpUser, between, events

from benchmarks.photos import as_form
from benchmarks.serving import drawn_photo

API = "/api/v1"
_DRAWN_PEOPLE = 12
_EXPECTED = (200, 201, 204)


def add_options(parser: Any, **_: Any) -> None:
    """Add the options of this file to Locust's."""
    parser.add_argument("--photos", type=str, default="", help="a folder of JPEGs, each of one person")
    parser.add_argument("--collection", type=str, default="load-test", help="the collection to use")
    parser.add_argument("--email", type=str, default="", help="sign in as this user, with LOAD_TEST_PASSWORD")
    for name, weight in (("register", 1), ("recognize", 8), ("verify", 2), ("list", 1), ("delete", 1)):
        parser.add_argument(f"--weight-{name}", type=int, default=weight, help=f"how often to {name}")


def read_photos(folder: str) -> list[bytes]:
    """Return the photos of a folder and its subfolders, or drawn ones without a folder."""
    if not folder:
        return [drawn_photo(seed) for seed in range(1, _DRAWN_PEOPLE + 1)]
    files = sorted(Path(folder).rglob("*.jpg"))
    if not files:
        raise SystemExit(f"--photos {folder}: the folder has no .jpg files.")
    return [file.read_bytes() for file in files[:2000]]


def load_photos(environment: Any, **_: Any) -> None:
    """Read the photos once, before the users start."""
    environment.photos = itertools.cycle(read_photos(environment.parsed_options.photos))


class Program(FastHttpUser):  # type: ignore[misc,unused-ignore]  # untyped without Locust
    """A program that registers and recognizes people."""

    wait_time = between(0, 0)
    network_timeout = connection_timeout = 60.0

    def on_start(self) -> None:
        """Sign in, and create the collection if it does not exist."""
        self.options = self.environment.parsed_options
        self.subjects: list[str] = []
        self.pause_s = 0.0
        self.headers = self._sign_in()
        body = {"name": self.options.collection}
        with self.client.post(f"{API}/collections", json=body, headers=self.headers, catch_response=True) as response:
            if response.status_code in (201, 409):
                response.success()

    def on_stop(self) -> None:
        """Erase the people that this user registered."""
        for subject in self.subjects:
            self._erase(subject)

    def act(self) -> None:
        """Send one request, chosen by the weights."""
        time.sleep(self.pause_s)  # Locust replaces it by a wait that lets other users run
        self.pause_s = 0.0
        actions = {
            self._register: self.options.weight_register,
            self._recognize: self.options.weight_recognize,
            self._verify: self.options.weight_verify if self.subjects else 0,
            self._list: self.options.weight_list,
            self._delete: self.options.weight_delete if self.subjects else 0,
        }
        if not sum(actions.values()):
            actions[self._register] = 1
        random.choices(list(actions), list(actions.values()))[0]()

    tasks = [act]

    def _register(self) -> None:
        subject = f"load-{uuid4().hex}"
        fields = {"collection": self.options.collection, "subject": subject, "face": "largest"}
        headers, body = as_form(next(self.environment.photos), fields)
        if self._send("POST", "/register", body.replace(b'name="image"', b'name="images"'), headers):
            self.subjects.append(subject)

    def _recognize(self) -> None:
        headers, body = as_form(next(self.environment.photos), {"collection": self.options.collection})
        self._send("POST", "/recognize", body, headers)

    def _verify(self) -> None:
        fields = {"collection": self.options.collection, "subject": random.choice(self.subjects)}
        headers, body = as_form(next(self.environment.photos), {**fields, "face": "largest"})
        self._send("POST", "/verify", body, headers)

    def _list(self) -> None:
        self._send("GET", f"/collections/{self.options.collection}/subjects?limit=50", name="/subjects")

    def _delete(self) -> None:
        self._erase(self.subjects.pop())

    def _erase(self, subject: str) -> None:
        path = f"/collections/{self.options.collection}/subjects/{subject}"
        self._send("DELETE", path, name="/subjects/{subject}")

    def _send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, name: str = ""
    ) -> bool:
        sent: dict[str, Any] = {"data": body}
        with self.client.request(
            method,
            API + path,
            **sent,
            headers=self.headers | (headers or {}),
            name=f"{API}{name or path}",
            catch_response=True,
        ) as response:
            if response.status_code in _EXPECTED:
                response.success()
                return True
            response.failure(f"status {response.status_code}")
            self.pause_s = float((response.headers or {}).get("retry-after") or 0)
            return False

    def _sign_in(self) -> dict[str, str]:
        if key := os.environ.get("LOAD_TEST_API_KEY"):
            return {"x-api-key": key}
        form = {"username": self.options.email, "password": os.environ.get("LOAD_TEST_PASSWORD", "")}
        response = self.client.post(f"{API}/auth/token", data=form)
        if response.status_code != 200:
            raise SystemExit("Sign-in failed: give --email, and set LOAD_TEST_PASSWORD or LOAD_TEST_API_KEY.")
        return {"authorization": f"Bearer {response.json()['access_token']}"}


hooks: Any = events
hooks.init_command_line_parser.add_listener(add_options)
hooks.init.add_listener(load_photos)
