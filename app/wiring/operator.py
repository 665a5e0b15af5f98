"""Construct the services of operator commands: they use the operator's database login and audit as `operator`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain.tenancy import TenantOverview
from app.errors import DatabaseNotReady, TenantNotFound
from app.persistence.connections.database import Database, Transaction
from app.persistence.provisioning.addresses import DatabaseAddresses, provisioned_database
from app.persistence.provisioning.logins import check_operator_login
from app.persistence.repositories.account_links import AccountLinkRepository
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.graphs import GraphDirectory
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.persistence.repositories.recognizers import RecognizerRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.usage_days import UsageDayRepository
from app.persistence.repositories.users import UserRepository
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.services.access.account_links import AccountLinkService
from app.services.access.keys import KeyService
from app.services.access.password_reset import PasswordReset
from app.services.access.users import UserService
from app.services.audit.trail import OPERATOR, AuditTrail, AuditTrails
from app.services.audit.verification import AuditVerifier
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.collections.recognizers import CollectionRecognizerService
from app.services.erasure.retention import RetentionSweep
from app.services.maintenance.search_indexes import SearchIndexService
from app.services.maintenance.template_rotation import TemplateRotation
from app.services.paging import iterate_pages
from app.services.tenancy.metering import UsageService
from app.services.tenancy.quotas import QuotaService
from app.services.tenancy.tenants import OperatorService, TenantService
from app.settings import Settings
from app.wiring.object_stores import open_journal
from app.wiring.search import build_search


class OperatorServices:
    """Construct services that see every tenant, and open those of a single tenant."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self.database = database
        self.keyring = keyring
        self.trails = AuditTrails(keyring)

    def operator(self) -> OperatorService:
        return OperatorService(self.database, self.trails, CursorSigner(self.keyring))

    def tenants(self, hasher: PasswordHasher) -> TenantService:
        return TenantService(self.database, hasher, self.trails)

    def retention_sweep(self) -> RetentionSweep:
        return RetentionSweep(self.database, self.trails)

    def template_rotation(self) -> TemplateRotation:
        return TemplateRotation(self.database, self.keyring, self.trails)

    def password_reset(self) -> PasswordReset:
        return PasswordReset(self.database, self.keyring, self.trails)

    async def list_tenant_ids(self, only: str | None = None) -> list[UUID]:
        """Return the tenant with this id or name if given, otherwise every tenant's id, oldest first."""
        if only is not None:
            return [await self.find_tenant(only)]
        return [tenant.id async for tenant in iterate_pages(self.operator().list_tenants)]

    async def find_tenant(self, id_or_name: UUID | str) -> UUID:
        """Return a tenant's id; raises `TenantNotFound`, or `Conflict` if several tenants have the name.

        Only names need the operator's role.
        """
        try:
            tenant_id = UUID(str(id_or_name))
        except ValueError:
            return await self.operator().find_only(str(id_or_name))
        async with self.database.transaction(tenant_id) as session:
            if await UsageRepository(session, tenant_id).get_overview() is None:
                raise TenantNotFound(f"No tenant has the id {tenant_id}.")
        return tenant_id

    @asynccontextmanager
    async def in_tenant(self, tenant: UUID | str) -> AsyncIterator["TenantServices"]:
        """Open services of one tenant, by id or name, that share one transaction; see `find_tenant` for errors."""
        tenant_id = await self.find_tenant(tenant)
        async with self.database.transaction(tenant_id) as session:
            yield TenantServices(self, session, tenant_id)


class TenantServices:
    """Construct the operator's services for one tenant, in one transaction."""

    def __init__(self, services: OperatorServices, session: Transaction, tenant_id: UUID) -> None:
        self._keyring = services.keyring
        self._trails = services.trails
        self._session = session
        self._tenant_id = tenant_id

    async def overview(self) -> TenantOverview:
        """Return the tenant with its plan and usage; raises `TenantNotFound`."""
        overview = await UsageRepository(self._session, self._tenant_id).get_overview()
        if overview is None:
            raise TenantNotFound
        return overview

    async def users(self) -> UserService:
        plan = (await self.overview()).plan
        quotas = QuotaService(UsageRepository(self._session, self._tenant_id), plan)
        users = UserRepository(self._session, self._tenant_id)
        return UserService(users, quotas, None, self._trail(), CursorSigner(self._keyring))

    def account_links(self) -> AccountLinkService:
        links = AccountLinkRepository(self._session, self._tenant_id)
        users = UserRepository(self._session, self._tenant_id)
        cursors = CursorSigner(self._keyring)
        return AccountLinkService(links, users, None, self._keyring, cursors, self._trail())

    def keys(self) -> KeyService:
        api_keys = ApiKeyRepository(self._session, self._tenant_id)
        access_keys = AccessKeyRepository(self._session, self._tenant_id)
        return KeyService(api_keys, access_keys, self._keyring, self._trail())

    def usage(self) -> UsageService:
        days = UsageDayRepository(self._session, self._tenant_id)
        return UsageService(days, CursorSigner(self._keyring))

    def audit_verifier(self) -> AuditVerifier:
        return AuditVerifier(AuditRepository(self._session, self._tenant_id), self._keyring)

    def recognizers(self, directory: RecognizerDirectory) -> CollectionRecognizerService:
        return CollectionRecognizerService(
            CollectionRepository(self._session, self._tenant_id),
            RecognizerRepository(self._session, self._tenant_id),
            AlbumPeopleRepository(self._session, self._tenant_id),
            SubjectRepository(self._session, self._tenant_id),
            IdempotencyRecords(self._session, self._tenant_id),
            CursorSigner(self._keyring),
            self._trail(),
            directory,
        )

    def _trail(self) -> AuditTrail:
        return self._trails.open(self._session, self._tenant_id, OPERATOR)


@asynccontextmanager
async def operator_services(settings: Settings) -> AsyncIterator[OperatorServices]:
    """Provision the database, open it with the operator's login, and close it after the block.

    Raises `DatabaseNotReady` if PostgreSQL does not respond or refuses the login.
    """
    problem = await check_operator_login(settings)
    if problem is not None:
        raise DatabaseNotReady(problem)
    async with provisioned_database(settings) as addresses, operator_services_at(settings, addresses) as services:
        yield services


@asynccontextmanager
async def operator_services_at(settings: Settings, addresses: DatabaseAddresses) -> AsyncIterator[OperatorServices]:
    """Open a database that is already provisioned with the operator's login, and close it after the block."""
    database = Database(
        addresses.operator,
        pool_size=2,
        behind_pgbouncer=settings.database_pgbouncer,
        journal=open_journal(settings),
    )
    try:
        yield OperatorServices(database, Keyring(settings.signing_keys()))
    finally:
        await database.close()


@asynccontextmanager
async def search_index_service(settings: Settings, addresses: DatabaseAddresses) -> AsyncIterator[SearchIndexService]:
    """Open the service that maintains HNSW graphs: it builds with the operator's login, searches with the service's."""
    operator = Database(addresses.operator, pool_size=2, behind_pgbouncer=settings.database_pgbouncer)
    engine = build_search(settings, addresses.service, Keyring(settings.signing_keys()))
    try:
        yield SearchIndexService(GraphDirectory(operator), engine, graph_from=settings.search_hnsw_from)
    finally:
        await engine.close()
        await operator.close()
