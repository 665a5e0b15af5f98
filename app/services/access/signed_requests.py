"""Authenticate requests that are signed with an access key."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from app.errors import Overloaded, SignatureInvalid
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.principals import KeyDirectory, PrincipalRepository, Signer, StoredAccessKey
from app.security.access_keys import decrypt_secret
from app.security.keyring import Keyring
from app.security.request_signatures import (
    Claim,
    SignatureFault,
    SignatureRefused,
    SignedRequest,
    check_signature,
    read_claim,
)

_MAX_RECEIVING = 32


class SignedCaller:
    """The owner of the access key that a request names; not authenticated until `verify` succeeds."""

    def __init__(self, claim: Claim, secret: str, signer: Signer) -> None:
        self.claim = claim
        self.signer = signer
        self._secret = secret

    def verify(self, request: SignedRequest) -> Principal:
        """Check the signature of the complete request and return the caller; raises `SignatureInvalid`."""
        try:
            check_signature(request, self.claim, self._secret)
        except SignatureRefused as exc:
            raise SignatureInvalid(exc.fault, str(exc)) from None
        return self.signer.principal


class SignedRequestService:
    """Check signatures in two steps: find the key from the headers, then verify after the body was read.

    A request that names no valid key is refused before its body is read.
    """

    def __init__(self, database: Database, keyring: Keyring, *, region: str | None) -> None:
        self._database = database
        self._keyring = keyring
        self._region = region
        self._receiving = Counter[str]()

    async def find_caller(self, request: SignedRequest, *, service: str) -> SignedCaller:
        """Find the owner of the access key in the request's headers; raises `SignatureInvalid`."""
        try:
            claim = read_claim(request, service=service, now=datetime.now(UTC))
        except SignatureRefused as exc:
            raise SignatureInvalid(exc.fault, str(exc)) from None
        if self._region is not None and claim.region != self._region:
            raise SignatureInvalid(
                SignatureFault.WRONG_SCOPE,
                f"The credential is scoped to region {claim.region!r}; this server's region is {self._region!r}.",
            )
        async with self._database.transaction(lookup=claim.access_key_id) as session:
            stored = await KeyDirectory(session).find_access_key(claim.access_key_id)
        secret = self._decrypt(claim, stored) if stored is not None else None
        if stored is None or secret is None or stored.revoked_at is not None:
            raise SignatureInvalid(None, "The access key does not exist or was revoked.")
        async with self._database.transaction(stored.tenant_id) as session:
            signer = await PrincipalRepository(session, stored.tenant_id).find_by_access_key(stored.id)
        if signer is None:
            raise SignatureInvalid(None, "The access key does not exist or was revoked.")
        return SignedCaller(claim, secret, signer)

    @contextmanager
    def receiving(self, caller: SignedCaller) -> Iterator[None]:
        """Count a request of this key while its body is received and verified.

        Until then any client that knows a key's id could send bodies. So a key may have at most `_MAX_RECEIVING` of
        them in progress; raises `Overloaded` beyond that.
        """
        key = caller.claim.access_key_id
        if self._receiving[key] >= _MAX_RECEIVING:
            raise Overloaded(
                f"{_MAX_RECEIVING} requests with this access key are being received, the maximum; try again."
            )
        self._receiving[key] += 1
        try:
            yield
        finally:
            self._receiving[key] -= 1
            if not self._receiving[key]:
                del self._receiving[key]

    async def touch_key(self, caller: SignedCaller) -> None:
        """Record the last use of a verified caller's key, to the minute."""
        principal = caller.signer.principal
        if caller.signer.was_just_used or principal.key_id is None:
            return
        async with self._database.transaction(principal.tenant_id) as session:
            await PrincipalRepository(session, principal.tenant_id).touch_access_key(principal.key_id)

    def _decrypt(self, claim: Claim, stored: StoredAccessKey) -> str | None:
        key = self._keyring.find("access-keys", stored.key_id)
        return decrypt_secret(key, claim.access_key_id, stored.secret_encrypted) if key is not None else None
