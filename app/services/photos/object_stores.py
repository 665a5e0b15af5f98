"""Configure a tenant's object store, and fetch photos from it and from nowhere else.

Tenants choose among the endpoints that the operator allows, so a tenant cannot make the service call any other address.
These may also be internal. An endpoint's name is resolved once, and the connection goes to one of its addresses.
Redirects are not followed, and proxy settings of the environment are ignored.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_plus
from uuid import UUID

import botocore.session
import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import ResponseParserError, create_parser

from app.domain.tenancy import ObjectStore
from app.errors import (
    ImageTooLarge,
    InvalidParameter,
    NotReady,
    ObjectStoreNotFound,
    ObjectStoreNotSet,
    ObjectStoreUnavailable,
    ObjectUnavailable,
)
from app.persistence.connections.database import Database
from app.persistence.repositories.object_stores import ObjectStoreRepository, StoredObjectStore
from app.security.access_keys import decrypt_secret, encrypt_secret
from app.security.keyring import Keyring
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.outbound.addresses import HostUnknown, Origin, UrlRefused, read_origin, resolve
from app.services.outbound.downloads import BodyTooLarge, open_client, read_body, send_pinned, stream_body

_PURPOSE = "object-stores"
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_TOTAL_TIMEOUT_S = 20.0
_STREAM_TIMEOUT_S = 3_600.0
_MAX_LIST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _SignedRequest:
    """A request whose signature covers the header Host, which names the endpoint and not its address."""

    method: str
    url: str
    headers: Mapping[str, str]


class ObjectStoreService:
    """Manage the object store of the caller's tenant."""

    def __init__(
        self, stores: ObjectStoreRepository, keyring: Keyring, trail: AuditTrail, *, endpoints: list[str]
    ) -> None:
        self._stores = stores
        self._keyring = keyring
        self._trail = trail
        self._endpoints = endpoints

    async def get(self) -> ObjectStore:
        """Return the object store; raises `ObjectStoreNotFound`."""
        stored = await self._stores.get()
        if stored is None:
            raise ObjectStoreNotFound
        return stored.store

    async def put(self, store: ObjectStore, secret: str) -> ObjectStore:
        """Set the object store and its secret; raises `InvalidParameter` for an endpoint that is not allowed."""
        if store.endpoint not in self._endpoints:
            allowed = ", ".join(self._endpoints) or "none (the operator sets VULTUS_OBJECT_STORE_ENDPOINTS)"
            raise InvalidParameter(
                f"endpoint: {store.endpoint} is not allowed; allowed endpoints are {allowed}.", field="endpoint"
            )
        key_id, key = self._keyring.current(_PURPOSE)
        encrypted = encrypt_secret(key, self._bound_to(store), secret)
        await self._stores.save(StoredObjectStore(store, key_id, encrypted))
        await self._trail.record(AuditAction.OBJECT_STORE_CHANGED, "object-store", endpoint=store.endpoint)
        return store

    async def delete(self) -> None:
        """Delete the object store and its credentials; raises `ObjectStoreNotFound`."""
        if not await self._stores.delete():
            raise ObjectStoreNotFound
        await self._trail.record(AuditAction.OBJECT_STORE_CHANGED, "object-store", endpoint=None)

    def _bound_to(self, store: ObjectStore) -> str:
        return _binding(str(self._stores.tenant_id), store)


class ObjectFetcher:
    """Fetch photos from the tenants' object stores; one per process."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        endpoints: list[str],
        max_bytes: int,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._endpoints = endpoints
        self._max_bytes = max_bytes
        self._verify = verify
        self._clients: dict[Origin, httpx.AsyncClient] = {}
        """One for each endpoint: a connection to reuse must not belong to another name at the same address."""

    async def fetch(self, tenant_id: UUID, bucket: str, name: str, version: str | None = None) -> bytes:
        """Return the bytes of an object; raises `ObjectUnavailable` with the reason, or `ImageTooLarge`.

        `ObjectStoreUnavailable`, if another try may succeed.
        """
        store, secret = await self._open(tenant_id)
        return await self._send(_object_request(store, secret, bucket, name, version), self._max_bytes)

    async def measure(self, tenant_id: UUID, bucket: str, name: str, version: str | None = None) -> int | None:
        """Return the size of an object in bytes, None if the store does not say it; raises as `fetch`."""
        store, secret = await self._open(tenant_id)
        request = _object_request(store, secret, bucket, name, version, method="HEAD")
        with _reporting_silence():
            async with asyncio.timeout(_TOTAL_TIMEOUT_S):
                response = await self._request(request)
                await response.aclose()
        _check_status(response)
        declared = response.headers.get("content-length", "")
        return int(declared) if declared.isascii() and declared.isdigit() else None

    async def stream(
        self, tenant_id: UUID, bucket: str, name: str, version: str | None = None, *, max_bytes: int
    ) -> AsyncGenerator[bytes]:
        """Yield an object of up to `max_bytes` in pieces; raises as `fetch`, but `BodyTooLarge` for a larger one.

        Each piece must arrive within 10 seconds, and all of it within an hour.
        """
        store, secret = await self._open(tenant_id)
        deadline = time.monotonic() + _STREAM_TIMEOUT_S
        with _reporting_silence():
            response = await self._request(_object_request(store, secret, bucket, name, version))
            try:
                _check_status(response)
                async for piece in stream_body(response, max_bytes):
                    if time.monotonic() > deadline:
                        raise TimeoutError
                    yield piece
            finally:
                await response.aclose()

    async def list_names(self, tenant_id: UUID, bucket: str, prefix: str) -> list[str]:
        """List the names of all objects in a bucket that start with the prefix; raises `ObjectUnavailable`."""
        store, secret = await self._open(tenant_id)
        names: list[str] = []
        token: str | None = None
        while True:
            body = await self._send(_list_request(store, secret, bucket, prefix, token), _MAX_LIST_BYTES)
            page = _parse_list(body)
            names += (unquote_plus(entry["Key"]) for entry in page.get("Contents", []))
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or token is None:
                return names

    async def _open(self, tenant_id: UUID) -> tuple[ObjectStore, str]:
        """Return the tenant's object store and its decrypted secret."""
        async with self._database.transaction(tenant_id) as session:
            stored = await ObjectStoreRepository(session, tenant_id).get()
        if stored is None:
            raise ObjectStoreNotSet(
                "object: no object store is set for your tenant. Set one (PUT /api/v1/object-store) or send the photo "
                "itself.",
                field="object",
            )
        if stored.store.endpoint not in self._endpoints:
            raise _unavailable(
                f"this server does not allow {stored.store.endpoint}, the endpoint of your tenant's object store. "
                "Its operator can add the endpoint to VULTUS_OBJECT_STORE_ENDPOINTS."
            )
        key = self._keyring.find(_PURPOSE, stored.key_id)
        bound_to = _binding(str(tenant_id), stored.store)
        secret = decrypt_secret(key, bound_to, stored.secret_encrypted) if key is not None else None
        if secret is None:
            raise NotReady(
                "The object store's credentials were encrypted under a secret that this server does not have."
            )
        return stored.store, secret

    async def _send(self, request: _SignedRequest, max_bytes: int) -> bytes:
        with _reporting_silence():
            async with asyncio.timeout(_TOTAL_TIMEOUT_S):
                return await self._read(request, max_bytes)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def _read(self, request: _SignedRequest, max_bytes: int) -> bytes:
        response = await self._request(request)
        try:
            _check_status(response)
            return await read_body(response, max_bytes)
        except BodyTooLarge:
            detail = f"object: it is larger than the maximum of {max_bytes} bytes."
            raise ImageTooLarge(detail, field="object") from None
        finally:
            await response.aclose()

    async def _request(self, request: _SignedRequest) -> httpx.Response:
        """Send a request to the address that the endpoint's name has now; the body is still to be read."""
        origin = read_origin(request.url)
        addresses = await resolve(origin)
        if origin not in self._clients:
            self._clients[origin] = open_client(_TIMEOUT, verify=self._verify)
        target = (httpx.URL(request.url), origin)
        return await send_pinned(self._clients[origin], request.method, target, addresses, request.headers)


@contextmanager
def _reporting_silence() -> Iterator[None]:
    """Raise `ObjectStoreUnavailable` where the store cannot be reached or is silent."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
        detail = f"object: the object store does not respond ({type(exc).__name__})."
        raise ObjectStoreUnavailable(detail, field="object") from exc
    except HostUnknown:
        detail = "object: the name of the object store has no address."
        raise ObjectStoreUnavailable(detail, field="object") from None
    except UrlRefused as exc:
        raise _unavailable(f"the object store cannot be called: {exc}") from None


def _check_status(response: httpx.Response) -> None:
    """Raise `ObjectUnavailable` unless the store answers with the object."""
    status = response.status_code
    if status == 200:
        return
    if status == 429 or status >= 500:
        detail = f"object: the object store responds with status {status}."
        raise ObjectStoreUnavailable(detail, field="object")
    reason = _REASONS.get(status, "unexpected")
    raise _unavailable(
        f"the object store responds with status {status} ({reason}).", is_unreadable=status in (403, 404)
    )


_REASONS = {
    301: "redirects are not followed: is the region right?",
    307: "redirects are not followed: is the region right?",
    403: "the credentials do not allow reading it",
    404: "the object or the bucket does not exist",
}


def _unavailable(reason: str, *, is_unreadable: bool = False) -> ObjectUnavailable:
    return ObjectUnavailable(f"object: {reason}", field="object", is_unreadable=is_unreadable)


def _binding(tenant: str, store: ObjectStore) -> str:
    return f"{tenant} {store.endpoint} {store.access_key_id}"


def _object_request(
    store: ObjectStore, secret: str, bucket: str, name: str, version: str | None, *, method: str = "GET"
) -> _SignedRequest:
    if {".", ".."} & {bucket, *name.split("/")}:
        raise _unavailable("neither the bucket nor a part of the object's name may be one or two dots.")
    url = f"{store.endpoint}/{quote(bucket, safe='')}/{quote(name, safe='/~')}"
    if version is not None:
        url += f"?versionId={quote(version, safe='')}"
    return _signed(store, secret, url, method)


def _list_request(store: ObjectStore, secret: str, bucket: str, prefix: str, token: str | None) -> _SignedRequest:
    """Build a request for one page of names; S3 returns at most 1,000."""
    if bucket in (".", ".."):
        raise _unavailable(f"a bucket cannot be named {bucket!r}.")
    parameters = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    if token is not None:
        parameters["continuation-token"] = token
    query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(parameters.items()))
    return _signed(store, secret, f"{store.endpoint}/{quote(bucket, safe='')}?{query}")


def _parse_list(body: bytes) -> dict[str, Any]:
    """Parse the XML of ListObjectsV2 with botocore's service model; raises `ObjectUnavailable` if it is invalid."""
    model = botocore.session.get_session().get_service_model("s3")
    parser, shape = create_parser(model.protocol), model.operation_model("ListObjectsV2").output_shape
    assert shape is not None  # ListObjectsV2 returns a body
    try:
        read: dict[str, Any] = parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)
    except ResponseParserError as exc:
        raise _unavailable("the object store responds with something other than a list of objects.") from exc
    return read


def _signed(store: ObjectStore, secret: str, url: str, method: str = "GET") -> _SignedRequest:
    """Sign a request; URLs are path style, so that the host is always the allowed endpoint."""
    request = AWSRequest(method, url)
    S3SigV4Auth(Credentials(store.access_key_id, secret), "s3", store.region).add_auth(request)
    return _SignedRequest(method, url, dict(request.headers.items()))
