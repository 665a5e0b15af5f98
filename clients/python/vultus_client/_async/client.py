"""The client: where the server is, who asks, and the resources."""

from types import TracebackType
from typing import Any, Self

import httpx

from vultus_client._async.account import AsyncAudit, AsyncKeys, AsyncTenant, AsyncUsage, AsyncUsers
from vultus_client._async.albums import AsyncAlbums
from vultus_client._async.collections import AsyncCollections
from vultus_client._async.events import AsyncEvents, AsyncWebhooks
from vultus_client._async.recognition import AsyncRecognition
from vultus_client._async.subjects import AsyncSubjects
from vultus_client._async.transport import AsyncTransport
from vultus_client.calls import Call
from vultus_client.models import MeOut, SignupOut
from vultus_client.retries import Retries


class AsyncVultus(AsyncRecognition):
    """A Vultus server, asked with an API key, with a token, or with a user's email and password.

    With email and password, it signs in when needed and refreshes its token. One client serves all requests of a
    program, from any number of threads or tasks. `http` is a client of httpx with settings of your own, such as proxies
    or certificates; its `base_url` must be `url`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        token: str | None = None,
        email: str | None = None,
        password: str | None = None,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        if sum(one is not None for one in (api_key, token, email)) > 1 or (email is None) != (password is None):
            raise ValueError("give an api_key, a token, or an email with its password")
        client = http or httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(timeout_s, connect=10.0))
        login = (email, password) if email is not None and password is not None else None
        transport = AsyncTransport(client, retries or Retries(), api_key or token, login)
        super().__init__(transport)
        self._login = login
        self.albums = AsyncAlbums(transport)
        self.audit = AsyncAudit(transport)
        self.collections = AsyncCollections(transport)
        self.events = AsyncEvents(transport)
        self.keys = AsyncKeys(transport)
        self.subjects = AsyncSubjects(transport)
        self.tenant = AsyncTenant(transport)
        self.usage = AsyncUsage(transport)
        self.users = AsyncUsers(transport)
        self.webhooks = AsyncWebhooks(transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.http.aclose()

    async def sign_up(self, tenant: str) -> SignupOut:
        """Create a tenant with this client's email and password as its first admin, where the server allows it."""
        if self._login is None:
            raise ValueError("sign_up needs a client with email and password")
        email, password = self._login
        body = {"tenant": tenant, "email": email, "password": password}
        return await self._send(Call("POST", "/auth/signup", body=body, is_public=True))

    async def me(self) -> MeOut:
        """Return who asks, with which permissions."""
        return await self._send(Call("GET", "/auth/me"))

    async def request(self, method: str, path: str, *, body: Any = None, **query: Any) -> Any:
        """Send a request to a route that has no method here; `path` follows `/api/v1`. Returns the decoded answer."""
        return await self._send(Call(method, path, query=query, body=body))
