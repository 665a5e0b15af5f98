"""A running app, and tenants to use it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.main import LifespanState, create_app
from app.permissions import Plan, Role
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from app.persistence.repositories.users import UserRepository
from app.security import passwords
from app.security.passwords import PasswordHasher
from app.settings import Settings
from app.wiring.process import AppState
from tests import pictures
from tests.seaweed import SeaweedFS, serving_objects

PASSWORD = "correct horse battery"


@dataclass
class Running:
    """An app with its lifespan entered."""

    app: FastAPI
    lifespan: LifespanState

    @property
    def state(self) -> AppState:
        return self.lifespan["process"]

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(self.lifespan)
            await self.app(scope, receive, send)

        # Unexpected errors must come back as 500 answers, as they do from a server.
        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=transport, base_url="http://vultus/api/v1", headers=headers)


@dataclass
class Account:
    """A signed-in user."""

    client: httpx.AsyncClient
    tenant_id: UUID
    email: str
    tokens: dict[str, Any]

    async def register(self, subject: str, *images: bytes, **fields: str) -> httpx.Response:
        files = [("images", (f"{index}.jpg", data, "image/jpeg")) for index, data in enumerate(images)]
        return await self.client.post("/register", data={"subject": subject, **fields}, files=files)

    async def send(self, path: str, image: bytes, **fields: str) -> httpx.Response:
        return await self.client.post(path, data=fields, files={"image": ("photo.jpg", image, "image/jpeg")})


@pytest.fixture(scope="module", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Hash passwords at the lowest cost: these tests sign in thousands of times. Their real cost has its own tests.

    Not `package`: this folder has no `__init__.py`, so pytest would undo it only at the end of the session.
    """
    real = passwords._CONTEXT
    passwords._CONTEXT = real.copy(argon2__time_cost=1, argon2__memory_cost=64)
    yield
    passwords._CONTEXT = real


async def start(settings: Settings, stack: AsyncExitStack) -> Running:
    app = create_app(settings)
    return Running(app, cast(LifespanState, await stack.enter_async_context(app.router.lifespan_context(app))))


@pytest.fixture(scope="session")
async def running(settings: Settings) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(settings, stack)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An S3 server with a bucket."""
    with serving_objects(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
async def anonymous(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with running.client() as client:
        yield client


SignUp = Callable[[], Awaitable[Account]]


@pytest.fixture
async def sign_up(running: Running) -> AsyncIterator[SignUp]:
    """Makes a new tenant and signs its admin in."""
    async with AsyncExitStack() as stack:

        async def make() -> Account:
            return await sign_up_at(running, stack)

        yield make


async def sign_up_at(running: Running, stack: AsyncExitStack) -> Account:
    """Make a new tenant of an app, and sign its admin in until the stack closes."""
    email = f"{uuid4().hex}@example.com"
    async with running.client() as client:
        body = {"tenant": "Acme", "email": email, "password": PASSWORD}
        created = await client.post("/auth/signup", json=body)
        assert created.status_code == 201, created.text
        tokens = await sign_in(client, email)
    signed_in = await stack.enter_async_context(running.client(tokens["access_token"]))
    return Account(signed_in, UUID(created.json()["tenant_id"]), email, tokens)


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = await client.post("/auth/token", data={"username": email, "password": password})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@pytest.fixture
async def admin(sign_up: SignUp) -> Account:
    return await sign_up()


@pytest.fixture
async def stranger(sign_up: SignUp) -> Account:
    """The admin of another tenant."""
    return await sign_up()


@pytest.fixture(scope="session")
async def password_hash() -> str:
    hasher = PasswordHasher()
    made = await hasher.hash(PASSWORD)
    hasher.close()
    return made


WithRole = Callable[[Role], Awaitable[Account]]


@pytest.fixture
async def with_role(
    admin: Account, running: Running, database: Database, password_hash: str
) -> AsyncIterator[WithRole]:
    """Signs a colleague of `admin` in who has the role."""
    async with AsyncExitStack() as stack:

        async def make(role: Role) -> Account:
            email = f"{uuid4().hex}@example.com"
            async with database.transaction(admin.tenant_id) as session:
                users = UserRepository(session, admin.tenant_id)
                await users.add(email=email, password_hash=password_hash, role=role)
            async with running.client() as client:
                tokens = await sign_in(client, email)
            signed_in = await stack.enter_async_context(running.client(tokens["access_token"]))
            return Account(signed_in, admin.tenant_id, email, tokens)

        yield make


@pytest.fixture
async def ada(admin: Account) -> Account:
    """`admin`, with drawn person 1 registered as `ada`."""
    answer = await admin.register("ada", pictures.photo(1), name="Ada Acker", metadata='{"team": 7}')
    assert answer.status_code == 201, answer.text
    return admin


def problem(answer: httpx.Response) -> str:
    """The stable code of an error answer, after checking that it has the one shape."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "code", "request_id"}
    assert body["status"] == answer.status_code
    assert body["type"] == f"/docs/errors#{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    return f"{answer.status_code} {body['code']}"


PutOnPlan = Callable[..., Awaitable[str]]


@pytest.fixture
async def put_on_plan(database: Database) -> PutOnPlan:
    """Puts a tenant on a plan of its own."""

    async def put(account: Account, rates: dict[str, str] | None = None, **quotas: int | None) -> str:
        plan = Plan(f"plan-{uuid4().hex}", {"read": "100000/minute", **(rates or {})}, quotas)
        async with database.transaction(as_operator=True) as session:
            await PlanDirectory(session).save(plan)
            await TenantDirectory(session).set_plan(account.tenant_id, plan.name)
        return plan.name

    return put
