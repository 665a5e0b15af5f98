"""Photos from the tenant's own object store: which one, and fetching from it, and from nowhere else.

Only servers that whoever runs Vultus has named can be chosen, so no tenant makes the service call an address of their
own choice; redirects are not followed, and proxies of the environment are not used.
"""

import asyncio
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.domain import ObjectStore
from app.errors import ImageTooLarge, InvalidParameter, NotReady, ObjectStoreNotFound, ObjectUnavailable
from app.permissions import Principal
from app.persistence.database import Database
from app.persistence.repositories.object_stores import ObjectStoreRepository, StoredObjectStore
from app.security.access_keys import decrypt_secret, encrypt_secret
from app.security.keyring import Keyring
from app.services.audit import AuditAction, AuditTrail

_PURPOSE = "object-stores"
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_IN_ALL_S = 20.0


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

    async def fetch(self, principal: Principal, bucket: str, name: str, version: str | None) -> bytes:
        """The bytes of an object; raises `ObjectUnavailable` with the reason, or `ImageTooLarge`."""
        async with self._database.transaction(principal.tenant_id) as session:
            stored = await ObjectStoreRepository(session, principal.tenant_id).get()
        if stored is None or stored.store.endpoint not in self._endpoints:
            raise ObjectUnavailable(
                "S3Object: no object store is set for your tenant (PUT /api/v1/object-store), so photos must be sent "
                "as Bytes."
            )
        key = self._keyring.find(_PURPOSE, stored.key_id)
        bound_to = _binding(str(principal.tenant_id), stored.store)
        secret = decrypt_secret(key, bound_to, stored.secret_encrypted) if key is not None else None
        if secret is None:
            raise NotReady("The object store's credentials were encrypted under a secret that is not at hand.")
        request = _signed(stored.store, secret, bucket, name, version)
        try:
            async with asyncio.timeout(_IN_ALL_S):
                return await self._read(request)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
            raise ObjectUnavailable(f"S3Object: the object store does not answer ({type(exc).__name__}).") from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _read(self, request: httpx.Request) -> bytes:
        answer = await self._client.send(request, stream=True)
        try:
            if answer.status_code != 200:
                why = _REASONS.get(answer.status_code, "unexpected")
                raise ObjectUnavailable(f"S3Object: the object store answers {answer.status_code} ({why}).")
            read = bytearray()
            async for piece in answer.aiter_raw():
                read += piece
                if len(read) > self._max_bytes:
                    raise ImageTooLarge(
                        f"S3Object: the object has more than {self._max_bytes} bytes, the most allowed."
                    )
            return bytes(read)
        finally:
            await answer.aclose()


_REASONS = {
    301: "redirects are not followed: is the region right?",
    307: "redirects are not followed: is the region right?",
    403: "these credentials may not read it",
    404: "there is no such object",
}


def _binding(tenant: str, store: ObjectStore) -> str:
    return f"{tenant} {store.endpoint} {store.access_key_id}"


def _signed(store: ObjectStore, secret: str, bucket: str, name: str, version: str | None) -> httpx.Request:
    """Path style, whatever the bucket's name: the host is always the one that was allowed."""
    if {".", ".."} & {bucket, *name.split("/")}:
        raise ObjectUnavailable("S3Object: a bucket or a part of a name of dots alone names no object.")
    url = f"{store.endpoint}/{quote(bucket, safe='')}/{quote(name, safe='/~')}"
    if version is not None:
        url += f"?versionId={quote(version, safe='')}"
    request = AWSRequest("GET", url)
    S3SigV4Auth(Credentials(store.access_key_id, secret), "s3", store.region).add_auth(request)
    return httpx.Request("GET", url, headers=dict(request.headers.items()), extensions={"timeout": _TIMEOUT.as_dict()})
