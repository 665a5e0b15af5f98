"""Every dependency, by name: who calls, which transaction, which service. The request-scoped wiring, and only that."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Query, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import AuthenticationFailed, PermissionDenied
from app.matcher.pgvector_search import PgvectorSearch
from app.permissions import Permission, Principal
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.routes import API
from app.routes.state import AppState
from app.services.auth import AuthService
from app.services.collections import CollectionService
from app.services.faces import FaceReader
from app.services.health import HealthService
from app.services.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from app.services.recognition import RecognitionService
from app.services.registration import RegistrationService
from app.services.subjects import SubjectService
from app.services.tenants import TenantService
from app.settings import Settings

_bearer = OAuth2PasswordBearer(tokenUrl=f"{API}/auth/token", auto_error=False)


def get_state(request: Request) -> AppState:
    """The process-wide objects."""
    return cast(AppState, request.state._state)


StateDep = Annotated[AppState, Depends(get_state)]


def get_settings(state: StateDep) -> Settings:
    return state["settings"]


def get_auth(state: StateDep) -> AuthService:
    return state["auth"]


def get_tenants(state: StateDep) -> TenantService:
    return state["tenants"]


def get_faces(state: StateDep) -> FaceReader:
    return state["faces"]


def get_health(state: StateDep) -> HealthService:
    return state["health"]


SettingsDep = Annotated[Settings, Depends(get_settings)]
AuthDep = Annotated[AuthService, Depends(get_auth)]
TenantsDep = Annotated[TenantService, Depends(get_tenants)]
FacesDep = Annotated[FaceReader, Depends(get_faces)]
HealthDep = Annotated[HealthService, Depends(get_health)]

# --- who calls ----------------------------------------------------------------------------------------------------


async def get_principal(auth: AuthDep, token: Annotated[str | None, Depends(_bearer)]) -> Principal:
    """The authenticated caller. Its query has a transaction of its own, over before anything else begins."""
    if not token:
        raise AuthenticationFailed("Send an access token as `Authorization: Bearer ...`.")
    return await auth.authenticate(token)


PrincipalDep = Annotated[Principal, Depends(get_principal)]


def require(permission: Permission) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets only callers with the permission pass."""

    async def check(principal: PrincipalDep) -> Principal:
        if not principal.may(permission):
            raise PermissionDenied(f"Your role {principal.role.value!r} lacks the permission {permission.value!r}.")
        return principal

    check.permission = permission  # type: ignore[attr-defined]
    return check


CanRead = Annotated[Principal, Depends(require(Permission.READ))]
CanRecognize = Annotated[Principal, Depends(require(Permission.RECOGNIZE))]
CanReadEmbeddings = Annotated[Principal, Depends(require(Permission.READ_EMBEDDINGS))]
CanRegister = Annotated[Principal, Depends(require(Permission.REGISTER))]
CanDelete = Annotated[Principal, Depends(require(Permission.DELETE))]

# --- the transaction ----------------------------------------------------------------------------------------------


async def get_session(state: StateDep, principal: PrincipalDep) -> AsyncIterator[AsyncSession]:
    """One request, one transaction, in the caller's tenant.

    Scope "function": it commits before the answer leaves, not after.
    """
    async with state["database"].transaction(principal.tenant_id) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]

# --- the services -------------------------------------------------------------------------------------------------


def get_collections(state: StateDep, session: SessionDep, principal: PrincipalDep) -> CollectionService:
    return CollectionService(CollectionRepository(session, principal.tenant_id), state["cursors"])


def get_subjects(state: StateDep, session: SessionDep, principal: PrincipalDep) -> SubjectService:
    tenant_id = principal.tenant_id
    return SubjectService(
        CollectionRepository(session, tenant_id),
        SubjectRepository(session, tenant_id),
        TemplateRepository(session, tenant_id),
        state["cursors"],
    )


def get_registration(faces: FacesDep, session: SessionDep, principal: PrincipalDep) -> RegistrationService:
    tenant_id = principal.tenant_id
    return RegistrationService(
        faces,
        CollectionRepository(session, tenant_id),
        SubjectRepository(session, tenant_id),
        TemplateRepository(session, tenant_id),
    )


def get_recognition(
    state: StateDep, faces: FacesDep, session: SessionDep, principal: PrincipalDep
) -> RecognitionService:
    tenant_id = principal.tenant_id
    return RecognitionService(
        faces,
        CollectionRepository(session, tenant_id),
        SubjectRepository(session, tenant_id),
        PgvectorSearch(session, tenant_id),
        default_threshold=state["threshold"],
    )


CollectionsDep = Annotated[CollectionService, Depends(get_collections)]
SubjectsDep = Annotated[SubjectService, Depends(get_subjects)]
RegistrationDep = Annotated[RegistrationService, Depends(get_registration)]
RecognitionDep = Annotated[RecognitionService, Depends(get_recognition)]

# --- parameters ---------------------------------------------------------------------------------------------------


def get_page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items a page.")] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageDep = Annotated[PageRequest, Depends(get_page)]
