"""Photos from the tenant's own object store: which one, and fetching from it, and from nowhere else.

Only servers that whoever runs Vultus has named can be chosen, so no tenant makes the service call an address of their
own choice; redirects are not followed, and proxies of the environment are not used.
"""

import asyncio
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
from app.errors import ImageTooLarge, InvalidParameter, NotReady, ObjectStoreNotFound, ObjectUnavailable
from app.persistence.connections.database import Database
from app.persistence.repositories.object_stores import ObjectStoreRepository, StoredObjectStore
from app.security.access_keys import decrypt_secret, encrypt_secret
from app.security.keyring import Keyring
from app.services.audit.trail import AuditAction, AuditTrail

_PURPOSE = "object-stores"
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_IN_ALL_S = 20.0
_MAX_LIST_BYTES = 16 * 2**20


class ObjectStoreService:
    """The caller's tenant's object store, as its admins set it."""

    def __init__(
        self, stores: ObjectStoreRepository, keyring: Keyring, trail: AuditTrail, *, endpoints: list[str]
    ) -> None:
        self._stores = stores
        self._keyring = keyring
        self._trail = trail
        self._endpoints = endpoints

    async def get(self) -> ObjectStore:
        """The object store; raises `ObjectStoreNotFound`."""
        stored = await self._stores.get()
        if stored is None:
            raise ObjectStoreNotFound
        return stored.store

    async def put(self, store: ObjectStore, secret: str) -> ObjectStore:
        """Set it; raises `InvalidParameter` for a server that is not one of the operator's."""
        if store.endpoint not in self._endpoints:
            allowed = ", ".join(self._endpoints) or "none: whoever runs this server sets VULTUS_OBJECT_STORE_ENDPOINTS"
            raise InvalidParameter(f"endpoint: photos may be fetched from: {allowed}.", field="endpoint")
        key_id, key = self._keyring.current(_PURPOSE)
        encrypted = encrypt_secret(key, self._bound_to(store), secret)
        await self._stores.put(StoredObjectStore(store, key_id, encrypted))
        await self._trail.record(AuditAction.OBJECT_STORE_CHANGED, "object-store", endpoint=store.endpoint)
        return store

    async def delete(self) -> None:
        """Forget it and its credentials; raises `ObjectStoreNotFound`."""
        if not await self._stores.delete():
            raise ObjectStoreNotFound
        await self._trail.record(AuditAction.OBJECT_STORE_CHANGED, "object-store", endpoint=None)

    def _bound_to(self, store: ObjectStore) -> str:
        return _binding(str(self._stores.tenant_id), store)


class ObjectFetcher:
    """Fetches photos; one per process."""

    def __init__(self, database: Database, keyring: Keyring, *, endpoints: list[str], max_bytes: int) -> None:
        self._database = database
        self._keyring = keyring
        self._endpoints = endpoints
        self._max_bytes = max_bytes
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=_TIMEOUT)

    async def fetch(self, tenant_id: UUID, bucket: str, name: str, version: str | None = None) -> bytes:
        """The bytes of an object; raises `ObjectUnavailable` with the reason, or `ImageTooLarge`."""
        store, secret = await self._open(tenant_id)
        return await self._send(_object_request(store, secret, bucket, name, version), self._max_bytes)

    async def list_names(self, tenant_id: UUID, bucket: str, prefix: str) -> list[str]:
        """The names of a bucket's objects that begin with the prefix; raises `ObjectUnavailable`."""
        store, secret = await self._open(tenant_id)
        names: list[str] = []
        token: str | None = None
        while True:
            answer = await self._send(_list_request(store, secret, bucket, prefix, token), _MAX_LIST_BYTES)
            page = _read_list(answer)
            names += (unquote_plus(one["Key"]) for one in page.get("Contents", []))
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or token is None:
                return names

    async def _open(self, tenant_id: UUID) -> tuple[ObjectStore, str]:
        """The tenant's object store, and its secret."""
        async with self._database.transaction(tenant_id) as session:
            stored = await ObjectStoreRepository(session, tenant_id).get()
        if stored is None:
            raise ObjectUnavailable(
                "S3Object: no object store is set for your tenant (PUT /api/v1/object-store), so photos must be sent "
                "as Bytes."
            )
        if stored.store.endpoint not in self._endpoints:
            raise ObjectUnavailable(
                "S3Object: the endpoint of your tenant's object store is not among those that are allowed here "
                "(VULTUS_OBJECT_STORE_ENDPOINTS)."
            )
        key = self._keyring.find(_PURPOSE, stored.key_id)
        bound_to = _binding(str(tenant_id), stored.store)
        secret = decrypt_secret(key, bound_to, stored.secret_encrypted) if key is not None else None
        if secret is None:
            raise NotReady("The object store's credentials were encrypted under a secret that is not at hand.")
        return stored.store, secret

    async def _send(self, request: httpx.Request, most_bytes: int) -> bytes:
        try:
            async with asyncio.timeout(_IN_ALL_S):
                return await self._read(request, most_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
            raise ObjectUnavailable(f"S3Object: the object store does not answer ({type(exc).__name__}).") from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _read(self, request: httpx.Request, most_bytes: int) -> bytes:
        answer = await self._client.send(request, stream=True)
        try:
            if answer.status_code != 200:
                why = _REASONS.get(answer.status_code, "unexpected")
                raise ObjectUnavailable(f"S3Object: the object store answers {answer.status_code} ({why}).")
            read = bytearray()
            async for piece in answer.aiter_raw():
                read += piece
                if len(read) > most_bytes:
                    raise ImageTooLarge(f"S3Object: the object has more than {most_bytes} bytes, the most allowed.")
            return bytes(read)
        finally:
            await answer.aclose()


_REASONS = {
    301: "redirects are not followed: is the region right?",
    307: "redirects are not followed: is the region right?",
    403: "these credentials may not read it",
    404: "there is no such object, or no such bucket",
}


def _binding(tenant: str, store: ObjectStore) -> str:
    return f"{tenant} {store.endpoint} {store.access_key_id}"


def _object_request(store: ObjectStore, secret: str, bucket: str, name: str, version: str | None) -> httpx.Request:
    if {".", ".."} & {bucket, *name.split("/")}:
        raise ObjectUnavailable("S3Object: a bucket or a part of a name of dots alone names no object.")
    url = f"{store.endpoint}/{quote(bucket, safe='')}/{quote(name, safe='/~')}"
    if version is not None:
        url += f"?versionId={quote(version, safe='')}"
    return _signed(store, secret, url)


def _list_request(store: ObjectStore, secret: str, bucket: str, prefix: str, token: str | None) -> httpx.Request:
    """A thousand names, as S3 gives them at most."""
    if bucket in (".", ".."):
        raise ObjectUnavailable("S3Object: a bucket of dots alone is none.")
    asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    if token is not None:
        asked["continuation-token"] = token
    query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(asked.items()))
    return _signed(store, secret, f"{store.endpoint}/{quote(bucket, safe='')}?{query}")


def _read_list(answer: bytes) -> dict[str, Any]:
    """S3's XML by its own model, as botocore has it; raises `ObjectUnavailable` for what is none."""
    model = botocore.session.get_session().get_service_model("s3")
    parser, shape = create_parser(model.protocol), model.operation_model("ListObjectsV2").output_shape
    assert shape is not None  # a list is an answer with a body
    try:
        read: dict[str, Any] = parser.parse({"status_code": 200, "headers": {}, "body": answer}, shape)
    except ResponseParserError as exc:
        raise ObjectUnavailable("S3Object: the object store answers with something else than a list.") from exc
    return read


def _signed(store: ObjectStore, secret: str, url: str) -> httpx.Request:
    """Path style, whatever the bucket's name: the host is always the one that was allowed."""
    request = AWSRequest("GET", url)
    S3SigV4Auth(Credentials(store.access_key_id, secret), "s3", store.region).add_auth(request)
    return httpx.Request("GET", url, headers=dict(request.headers.items()), extensions={"timeout": _TIMEOUT.as_dict()})
