"""Who sent a request that is signed with an access key."""

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

_SERVICE = "rekognition"
_MAX_RECEIVED = 32


class SignedCaller:
    """Whose access key a request names; not believed before its signature is checked."""

    def __init__(self, claim: Claim, secret: str, signer: Signer) -> None:
        self.claim = claim
        self.signer = signer
        self._secret = secret

    def verify(self, request: SignedRequest) -> Principal:
        """The caller, once the whole request is there; raises `SignatureInvalid`."""
        try:
            check_signature(request, self.claim, self._secret)
        except SignatureRefused as exc:
            raise SignatureInvalid(exc.fault, str(exc)) from None
        return self.signer.principal


class SignedRequestService:
    """Checks signatures in two steps, so that nothing is read of a request that names no key."""

    def __init__(self, database: Database, keyring: Keyring, *, region: str | None) -> None:
        self._database = database
        self._keyring = keyring
        self._region = region
        self._receiving = Counter[str]()

    async def find_caller(self, request: SignedRequest) -> SignedCaller:
        """Whose key the request names (its body is not looked at); raises `SignatureInvalid`."""
        try:
            claim = read_claim(request, service=_SERVICE, now=datetime.now(UTC))
        except SignatureRefused as exc:
            raise SignatureInvalid(exc.fault, str(exc)) from None
        if self._region is not None and claim.region != self._region:
            raise SignatureInvalid(
                SignatureFault.WRONG_SCOPE,
                f"The credential is scoped to region {claim.region!r}; this server answers for {self._region!r}.",
            )
        async with self._database.transaction(lookup=claim.access_key_id) as session:
            stored = await KeyDirectory(session).find_access_key(claim.access_key_id)
        secret = self._decrypt(claim, stored) if stored is not None else None
        if stored is None or secret is None or stored.revoked_at is not None:
            raise SignatureInvalid(None, "There is no such access key, or it was revoked.")
        async with self._database.transaction(stored.tenant_id) as session:
            signer = await PrincipalRepository(session, stored.tenant_id).find_signer(stored.id)
        if signer is None:
            raise SignatureInvalid(None, "There is no such access key, or it was revoked.")
        return SignedCaller(claim, secret, signer)

    @contextmanager
    def receiving(self, caller: SignedCaller) -> Iterator[None]:
        """While a body is received and verified: until then it may be anybody's who knows an access key's id.

        Only so many of one key at a time; raises `Overloaded`.
        """
        key = caller.claim.access_key_id
        if self._receiving[key] >= _MAX_RECEIVED:
            raise Overloaded(f"{_MAX_RECEIVED} requests of this access key are being received, which is the limit.")
        self._receiving[key] += 1
        try:
            yield
        finally:
            self._receiving[key] -= 1
            if not self._receiving[key]:
                del self._receiving[key]

    async def note_use(self, caller: SignedCaller) -> None:
        """Note that the key was used, to the minute; for a caller who was verified."""
        principal = caller.signer.principal
        if caller.signer.is_use_noted or principal.key_id is None:
            return
        async with self._database.transaction(principal.tenant_id) as session:
            await PrincipalRepository(session, principal.tenant_id).note_signer(principal.key_id)

    def _decrypt(self, claim: Claim, stored: StoredAccessKey) -> str | None:
        key = self._keyring.find("access-keys", stored.key_id)
        return decrypt_secret(key, claim.access_key_id, stored.secret_encrypted) if key is not None else None
