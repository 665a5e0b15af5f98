"""Every dependency, by name: who calls, which transaction, which service. The request-scoped wiring, and only that.

All are `async def`, also those that wait for nothing: FastAPI sends a plain function to a thread, which costs more than
the function. And they depend on few others: FastAPI walks the whole tree under a dependency each time it meets it,
also where the answer is known (55 visits a recognition cost more than the queries; now 23).
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Annotated, cast

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, OAuth2PasswordBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import AuthenticationFailed, PermissionDenied, RouteNotFound
from app.permissions import Permission, Principal
from app.persistence.repositories.answers import AnswerRepository
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository, TemplateStore
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.users import UserRepository
from app.routes import API
from app.routes.state import AppState
from app.security.passwords import PasswordHasher
from app.services.audit import AuditService, AuditTrail
from app.services.auth import AuthService
from app.services.collections import CollectionService
from app.services.consent import ConsentGate
from app.services.faces import FaceReader
from app.services.galleries import GalleryLookup
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.keys import KeyService
from app.services.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from app.services.policies import PolicyService
from app.services.portability import PortabilityService
from app.services.quotas import QuotaService, count_recognition
from app.services.receipts import ReceiptOffice
from app.services.recognition import RecognitionService
from app.services.registration import RegistrationService
from app.services.search import SearchService
from app.services.subjects import SubjectService
from app.services.tenants import OperatorService, TenantService
from app.services.users import UserService
from app.settings import Settings

_bearer = OAuth2PasswordBearer(tokenUrl=f"{API}/auth/token", auto_error=False)
_api_key = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key; also taken as a bearer token.")


def state_of(request: Request) -> AppState:
    """The process-wide objects."""
    return cast(AppState, request.state._state)


async def get_settings(request: Request) -> Settings:
    return state_of(request)["settings"]


async def get_auth(request: Request) -> AuthService:
    return state_of(request)["auth"]


async def get_tenants(request: Request) -> TenantService:
    return state_of(request)["tenants"]


async def get_health(request: Request) -> HealthService:
    return state_of(request)["health"]


async def get_hasher(request: Request) -> PasswordHasher:
    return state_of(request)["hasher"]


SettingsDep = Annotated[Settings, Depends(get_settings)]
AuthDep = Annotated[AuthService, Depends(get_auth)]
TenantsDep = Annotated[TenantService, Depends(get_tenants)]
HealthDep = Annotated[HealthService, Depends(get_health)]
HasherDep = Annotated[PasswordHasher, Depends(get_hasher)]

# --- who calls ----------------------------------------------------------------------------------------------------


def address_of(request: Request) -> str:
    """The caller's address: the connection's, or what a trusted proxy forwarded (uvicorn decides).

    Of IPv6 the network of 64 bits: one caller has all of it. What is no address counts as one caller.
    """
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


async def get_address(request: Request) -> str:
    return address_of(request)


AddressDep = Annotated[str, Depends(get_address)]


async def get_principal(
    request: Request,
    token: Annotated[str | None, Depends(_bearer)],
    key: Annotated[str | None, Depends(_api_key)],
) -> Principal:
    """The authenticated caller. Its queries have transactions of their own, over before anything else begins."""
    credential = token or key
    if not credential:
        raise AuthenticationFailed("Send an access token or an API key as `Authorization: Bearer ...`.")
    try:
        return await state_of(request)["auth"].authenticate(credential)
    except AuthenticationFailed:
        await state_of(request)["limiter"].admit_address(address_of(request), "bad-credentials")
        raise


PrincipalDep = Annotated[Principal, Depends(get_principal)]


def require(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets only callers with the permission pass, and only as often as their plan says.

    It comes before the body is read; recognitions are counted for the month as well.
    """

    async def check(principal: PrincipalDep, request: Request, response: Response) -> Principal:
        state = state_of(request)
        if not principal.may(permission):
            who = f"role {principal.role.value!r}" if principal.role else "key"
            raise PermissionDenied(f"Your {who} lacks the permission {permission.value!r}.")
        response.headers.update(await state["limiter"].admit_principal(principal, permission))
        if permission is Permission.RECOGNIZE:
            await count_recognition(state["database"], principal)
        return principal

    check.permission = permission  # type: ignore[attr-defined]
    return check


async def get_counted_images(request: Request, principal: PrincipalDep) -> Callable[[int], Awaitable[None]]:
    """Counts a batch's images for the month; `require` counted the first before the body was read."""

    async def count(images: int) -> None:
        if images > 1:
            await count_recognition(state_of(request)["database"], principal, images - 1)

    return count


CountedImages = Annotated[Callable[[int], Awaitable[None]], Depends(get_counted_images)]

_GUARDS = {permission: require(permission) for permission in Permission}


def guard_of(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """The one dependency for a permission: FastAPI runs it once a request, however often it is asked for."""
    return _GUARDS[permission]


CanRead = Annotated[Principal, Depends(guard_of(Permission.READ))]
CanRecognize = Annotated[Principal, Depends(guard_of(Permission.RECOGNIZE))]
CanReadEmbeddings = Annotated[Principal, Depends(guard_of(Permission.READ_EMBEDDINGS))]
CanRegister = Annotated[Principal, Depends(guard_of(Permission.REGISTER))]
CanDelete = Annotated[Principal, Depends(guard_of(Permission.DELETE))]
CanAdmin = Annotated[Principal, Depends(guard_of(Permission.ADMIN))]


async def limit_address(request: Request, response: Response) -> None:
    """For routes that anybody may call: so many requests from one address, each route for itself."""
    name = request.scope["route"].path.rsplit("/", 1)[-1]
    response.headers.update(await state_of(request)["limiter"].admit_address(address_of(request), name))


LIMITED_BY_ADDRESS = Depends(limit_address)

_operator_token = HTTPBearer(scheme_name="OperatorToken", auto_error=False)


async def get_operator(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator_token)],
) -> OperatorService:
    """The operator's service, for whoever sends the operator token; without one set there is nothing here."""
    state = state_of(request)
    wanted, operator = state["settings"].operator_token, state["operator"]
    if wanted is None or operator is None:
        raise RouteNotFound
    await state["limiter"].admit_address(address_of(request), "operator")
    if sent is None or not hmac.compare_digest(sent.credentials.encode(), wanted.get_secret_value().encode()):
        raise AuthenticationFailed("Send the operator token as `Authorization: Bearer ...`.")
    return operator


OperatorDep = Annotated[OperatorService, Depends(get_operator)]

# --- the transaction ----------------------------------------------------------------------------------------------


async def get_session(request: Request, principal: PrincipalDep) -> AsyncIterator[AsyncSession]:
    """One request, one transaction, in the caller's tenant.

    Scope "function": it commits before the answer leaves, not after.
    """
    async with state_of(request)["database"].transaction(principal.tenant_id) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]

# --- the services -------------------------------------------------------------------------------------------------


def _collections(session: AsyncSession, principal: Principal) -> CollectionRepository:
    return CollectionRepository(session, principal.tenant_id, principal.collections)


def _trail(request: Request, session: AsyncSession, principal: Principal) -> AuditTrail:
    entries = AuditRepository(session, principal.tenant_id)
    return AuditTrail(entries, state_of(request)["keyring"], principal.name)


def _quotas(session: AsyncSession, principal: Principal) -> QuotaService:
    return QuotaService(UsageRepository(session, principal.tenant_id), principal.plan)


async def get_departure() -> "asyncio.Future[None]":
    """Done when the caller has closed the connection; for whoever waits on the caller's behalf."""
    return asyncio.get_running_loop().create_future()


DepartureDep = Annotated["asyncio.Future[None]", Depends(get_departure)]


async def get_faces(request: Request, principal: PrincipalDep, departure: DepartureDep) -> FaceReader:
    return state_of(request)["faces"].on_behalf_of(principal.tenant_id, departure)


FacesDep = Annotated[FaceReader, Depends(get_faces)]


async def get_collections(request: Request, session: SessionDep, principal: PrincipalDep) -> CollectionService:
    return CollectionService(
        _collections(session, principal),
        AnswerRepository(session, principal.tenant_id),
        _quotas(session, principal),
        state_of(request)["cursors"],
        _trail(request, session, principal),
    )


async def get_subjects(request: Request, session: SessionDep, principal: PrincipalDep) -> SubjectService:
    tenant_id, state = principal.tenant_id, state_of(request)
    return SubjectService(
        _collections(session, principal),
        SubjectRepository(session, tenant_id),
        TemplateRepository(session, tenant_id),
        AnswerRepository(session, tenant_id),
        state["cursors"],
        _trail(request, session, principal),
        ReceiptOffice(state["keyring"]),
    )


async def get_registration(
    request: Request, faces: FacesDep, session: SessionDep, principal: PrincipalDep
) -> RegistrationService:
    tenant_id = principal.tenant_id
    return RegistrationService(
        faces,
        _collections(session, principal),
        SubjectRepository(session, tenant_id),
        TemplateStore(session, tenant_id, state_of(request)["search"].protector),
        ConsentGate(SubjectRepository(session, tenant_id), PolicyRepository(session, tenant_id)),
        _quotas(session, principal),
        _trail(request, session, principal),
    )


async def get_portability(request: Request, session: SessionDep, principal: PrincipalDep) -> PortabilityService:
    tenant_id, state = principal.tenant_id, state_of(request)
    subjects = SubjectRepository(session, tenant_id)
    return PortabilityService(
        _collections(session, principal),
        subjects,
        TemplateStore(session, tenant_id, state["search"].protector),
        AuditRepository(session, tenant_id),
        ConsentGate(subjects, PolicyRepository(session, tenant_id)),
        _quotas(session, principal),
        _trail(request, session, principal),
        recognizer=state["faces"].engine.recognizer,
    )


async def get_policies(request: Request, session: SessionDep, principal: PrincipalDep) -> PolicyService:
    return PolicyService(PolicyRepository(session, principal.tenant_id), _trail(request, session, principal))


async def get_audit(request: Request, session: SessionDep, principal: PrincipalDep) -> AuditService:
    state = state_of(request)
    return AuditService(AuditRepository(session, principal.tenant_id), state["keyring"], state["cursors"])


async def get_receipts(request: Request) -> ReceiptOffice:
    return ReceiptOffice(state_of(request)["keyring"])


def _galleries(state: AppState, principal: Principal) -> GalleryLookup:
    return GalleryLookup(state["database"], principal, state["faces"].engine.recognizer)


async def get_recognition(request: Request, faces: FacesDep, principal: PrincipalDep) -> RecognitionService:
    state = state_of(request)
    search = state["search"].for_tenant(principal.tenant_id)
    return RecognitionService(faces, _galleries(state, principal), search, default_threshold=state["threshold"])


async def get_search(request: Request, principal: PrincipalDep) -> SearchService:
    state = state_of(request)
    search = state["search"].for_tenant(principal.tenant_id)
    return SearchService(_galleries(state, principal), search, default_threshold=state["threshold"])


async def get_users(request: Request, session: SessionDep, principal: PrincipalDep) -> UserService:
    users, quotas = UserRepository(session, principal.tenant_id), _quotas(session, principal)
    return UserService(users, quotas, principal, _trail(request, session, principal))


async def get_keys(request: Request, session: SessionDep, principal: PrincipalDep) -> KeyService:
    tenant_id, keyring = principal.tenant_id, state_of(request)["keyring"]
    api_keys, access_keys = ApiKeyRepository(session, tenant_id), AccessKeyRepository(session, tenant_id)
    return KeyService(api_keys, access_keys, keyring, _trail(request, session, principal))


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="idempotency-key",
        pattern=r"^[!-~]{1,255}$",
        description="For 24 hours the same key with the same request has one effect and one answer.",
    ),
]


async def get_idempotency(
    request: Request, session: SessionDep, principal: PrincipalDep, key: IdempotencyKey = None
) -> IdempotencyService:
    answers, state = AnswerRepository(session, principal.tenant_id), state_of(request)
    return IdempotencyService(state["database"], answers, principal, state["keyring"], key)


CollectionsDep = Annotated[CollectionService, Depends(get_collections)]
SubjectsDep = Annotated[SubjectService, Depends(get_subjects)]
RegistrationDep = Annotated[RegistrationService, Depends(get_registration)]
RecognitionDep = Annotated[RecognitionService, Depends(get_recognition)]
SearchDep = Annotated[SearchService, Depends(get_search)]
UsersDep = Annotated[UserService, Depends(get_users)]
PortabilityDep = Annotated[PortabilityService, Depends(get_portability)]
PoliciesDep = Annotated[PolicyService, Depends(get_policies)]
AuditDep = Annotated[AuditService, Depends(get_audit)]
ReceiptsDep = Annotated[ReceiptOffice, Depends(get_receipts)]
KeysDep = Annotated[KeyService, Depends(get_keys)]
IdempotencyDep = Annotated[IdempotencyService, Depends(get_idempotency)]

# --- parameters ---------------------------------------------------------------------------------------------------


async def get_page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items a page.")] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageDep = Annotated[PageRequest, Depends(get_page)]
