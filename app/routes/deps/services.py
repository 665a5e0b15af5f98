"""Which transaction, which service, which page: the request-scoped wiring."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.routes.deps.callers import PrincipalDep, state_of
from app.routes.deps.wiring import TransactionServices, Wiring
from app.services.audit import AuditService
from app.services.calibration import CalibrationService
from app.services.collection_recognizers import CollectionRecognizerService
from app.services.collections import CollectionService
from app.services.faces import FaceReader
from app.services.idempotency import IdempotencyService
from app.services.keys import KeyService
from app.services.metering import UsageService
from app.services.object_stores import ObjectStoreService
from app.services.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from app.services.photo_registration import PhotoRegistrationService
from app.services.policies import PolicyService
from app.services.portability import PortabilityService
from app.services.receipts import ReceiptOffice
from app.services.recognition import RecognitionService
from app.services.recognizers import RecognizerDirectory
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


async def get_departure() -> "asyncio.Future[None]":
    """Done when the caller has closed the connection; for whoever waits on the caller's behalf."""
    return asyncio.get_running_loop().create_future()


DepartureDep = Annotated["asyncio.Future[None]", Depends(get_departure)]


async def get_faces(request: Request, principal: PrincipalDep, departure: DepartureDep) -> FaceReader:
    return Wiring(state_of(request), principal).faces(departure)


FacesDep = Annotated[FaceReader, Depends(get_faces)]


def _in_transaction(request: Request, session: AsyncSession, principal: PrincipalDep) -> TransactionServices:
    return Wiring(state_of(request), principal).in_transaction(session)


async def get_collections(request: Request, session: SessionDep, principal: PrincipalDep) -> CollectionService:
    return _in_transaction(request, session, principal).collections()


async def get_calibration(request: Request, session: SessionDep, principal: PrincipalDep) -> CalibrationService:
    return _in_transaction(request, session, principal).calibration()


async def get_collection_recognizers(
    request: Request, session: SessionDep, principal: PrincipalDep
) -> CollectionRecognizerService:
    return _in_transaction(request, session, principal).collection_recognizers()


async def get_subjects(request: Request, session: SessionDep, principal: PrincipalDep) -> SubjectService:
    return _in_transaction(request, session, principal).subjects()


async def get_registration(
    request: Request, faces: FacesDep, session: SessionDep, principal: PrincipalDep
) -> RegistrationService:
    return _in_transaction(request, session, principal).registration(faces)


async def get_photo_registration(
    request: Request, faces: FacesDep, session: SessionDep, principal: PrincipalDep
) -> PhotoRegistrationService:
    return _in_transaction(request, session, principal).photo_registration(faces)


async def get_portability(request: Request, session: SessionDep, principal: PrincipalDep) -> PortabilityService:
    return _in_transaction(request, session, principal).portability()


async def get_policies(request: Request, session: SessionDep, principal: PrincipalDep) -> PolicyService:
    return _in_transaction(request, session, principal).policies()


async def get_audit(request: Request, session: SessionDep, principal: PrincipalDep) -> AuditService:
    return _in_transaction(request, session, principal).audit()


async def get_usage(request: Request, session: SessionDep, principal: PrincipalDep) -> UsageService:
    await state_of(request)["meter"].flush()  # what this worker counted in the last second; others' comes by itself
    return _in_transaction(request, session, principal).usage()


async def get_receipts(request: Request) -> ReceiptOffice:
    return ReceiptOffice(state_of(request)["keyring"])


async def get_recognition(request: Request, faces: FacesDep, principal: PrincipalDep) -> RecognitionService:
    return Wiring(state_of(request), principal).recognition(faces)


async def get_recognizers(request: Request) -> RecognizerDirectory:
    return state_of(request)["recognizers"]


async def get_search(request: Request, principal: PrincipalDep) -> SearchService:
    return Wiring(state_of(request), principal).search()


async def get_users(request: Request, session: SessionDep, principal: PrincipalDep) -> UserService:
    return _in_transaction(request, session, principal).users()


async def get_keys(request: Request, session: SessionDep, principal: PrincipalDep) -> KeyService:
    return _in_transaction(request, session, principal).keys()


async def get_object_stores(request: Request, session: SessionDep, principal: PrincipalDep) -> ObjectStoreService:
    return _in_transaction(request, session, principal).object_stores()


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
    return _in_transaction(request, session, principal).idempotency(key)


CalibrationDep = Annotated[CalibrationService, Depends(get_calibration)]
CollectionRecognizersDep = Annotated[CollectionRecognizerService, Depends(get_collection_recognizers)]
CollectionsDep = Annotated[CollectionService, Depends(get_collections)]
SubjectsDep = Annotated[SubjectService, Depends(get_subjects)]
PhotoRegistrationDep = Annotated[PhotoRegistrationService, Depends(get_photo_registration)]
RegistrationDep = Annotated[RegistrationService, Depends(get_registration)]
RecognizersDep = Annotated[RecognizerDirectory, Depends(get_recognizers)]
RecognitionDep = Annotated[RecognitionService, Depends(get_recognition)]
SearchDep = Annotated[SearchService, Depends(get_search)]
UsersDep = Annotated[UserService, Depends(get_users)]
PortabilityDep = Annotated[PortabilityService, Depends(get_portability)]
PoliciesDep = Annotated[PolicyService, Depends(get_policies)]
UsageDep = Annotated[UsageService, Depends(get_usage)]
AuditDep = Annotated[AuditService, Depends(get_audit)]
ReceiptsDep = Annotated[ReceiptOffice, Depends(get_receipts)]
ObjectStoresDep = Annotated[ObjectStoreService, Depends(get_object_stores)]
KeysDep = Annotated[KeyService, Depends(get_keys)]
IdempotencyDep = Annotated[IdempotencyService, Depends(get_idempotency)]

# --- parameters ---------------------------------------------------------------------------------------------------


async def get_page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items a page.")] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageDep = Annotated[PageRequest, Depends(get_page)]
