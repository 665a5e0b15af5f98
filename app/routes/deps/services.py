"""Which transaction, which service, which page: the request-scoped wiring."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.permissions import Permission, Principal
from app.persistence.repositories.answers import AnswerRepository
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository, TemplateStore
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.usage_days import UsageDayRepository
from app.persistence.repositories.users import UserRepository
from app.routes.deps.callers import PrincipalDep, state_of
from app.routes.state import AppState
from app.services.audit import AuditService, AuditTrail
from app.services.collections import CollectionService
from app.services.consent import ConsentGate
from app.services.faces import FaceReader
from app.services.galleries import GalleryLookup
from app.services.idempotency import IdempotencyService
from app.services.keys import KeyService
from app.services.metering import UsageService
from app.services.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from app.services.policies import PolicyService
from app.services.portability import PortabilityService
from app.services.quotas import QuotaService
from app.services.receipts import ReceiptOffice
from app.services.recognition import RecognitionService
from app.services.registration import RegistrationService
from app.services.search import SearchService
from app.services.subjects import SubjectService
from app.services.users import UserService

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
        may_delete=principal.may(Permission.DELETE),
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
        may_delete=principal.may(Permission.DELETE),
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
    policies = PolicyRepository(session, principal.tenant_id)
    return PolicyService(policies, _trail(request, session, principal), principal)


async def get_audit(request: Request, session: SessionDep, principal: PrincipalDep) -> AuditService:
    state = state_of(request)
    return AuditService(AuditRepository(session, principal.tenant_id), state["keyring"], state["cursors"])


async def get_usage(request: Request, session: SessionDep, principal: PrincipalDep) -> UsageService:
    await state_of(request)["meter"].flush()  # what this worker counted in the last second; others' comes by itself
    return UsageService(UsageDayRepository(session, principal.tenant_id))


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
UsageDep = Annotated[UsageService, Depends(get_usage)]
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
