"""Create tenants with their first admin, and manage them as the operator."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.tenancy import TenantOverview, TenantRecord
from app.domain.text import normalize_email
from app.errors import Conflict, EmailTaken, PlanNotFound, TenantNotFound
from app.permissions import Plan, Role
from app.persistence.connections.database import Database
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.users import UserRepository
from app.security.cursors import CursorSigner, read_created, read_text, write_created
from app.security.passwords import PasswordHasher
from app.services.audit.actions import AuditAction
from app.services.audit.trail import OPERATOR, AuditTrails
from app.services.paging import Page, PageRequest, cut_page
from app.services.retries import retry_transient

DEFAULT_COLLECTION = "default"
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class CreatedTenant:
    """A new tenant and its admin's login."""

    tenant_id: UUID
    user_id: UUID
    name: str
    email: str


class TenantService:
    """Create tenants and describe them; opens its own transactions, for the same reasons as `AuthService`."""

    def __init__(self, database: Database, hasher: PasswordHasher, trails: AuditTrails) -> None:
        self._database = database
        self._hasher = hasher
        self._trails = trails

    async def create(self, name: str, email: str, password: str, plan: str = "free") -> CreatedTenant:
        """Create a tenant, its admin and its default collection in one transaction.

        Raises `EmailTaken` or `PlanNotFound`.
        """
        password_hash = await self._hasher.hash(password)
        tenant_id = uuid4()
        async with self._database.transaction(tenant_id) as session:
            if await PlanDirectory(session).find(plan) is None:
                raise PlanNotFound(f"There is no plan {plan!r}.")
            await TenantDirectory(session).add(tenant_id, name, plan)
            user_id = await UserRepository(session, tenant_id).add(
                email=email, password_hash=password_hash, role=Role.ADMIN
            )
            if user_id is None:
                raise EmailTaken
            await CollectionRepository(session, tenant_id).add(DEFAULT_COLLECTION)
            trail = self._trails.open(session, tenant_id, f"user:{user_id}")
            await trail.record(AuditAction.TENANT_CREATED, f"user:{user_id}", plan=plan)
        return CreatedTenant(tenant_id, user_id, name, normalize_email(email))

    async def overview(self, tenant_id: UUID) -> TenantOverview:
        """Return the tenant, its plan and its usage; raises `TenantNotFound`."""
        async with self._database.transaction(tenant_id) as session:
            found = await UsageRepository(session, tenant_id).get_overview()
        if found is None:
            raise TenantNotFound
        return found


class OperatorService:
    """Manage all tenants and plans; needs the operator's database login."""

    def __init__(self, database: Database, trails: AuditTrails, cursors: CursorSigner) -> None:
        self._database = database
        self._trails = trails
        self._cursors = cursors

    async def find(self, name: str) -> UUID | None:
        """Return the id of the oldest tenant with this name, or None."""
        async with self._database.transaction(as_operator=True) as session:
            return next(iter(await TenantDirectory(session).find_by_name(name)), None)

    async def find_only(self, name: str) -> UUID:
        """Return the id of the tenant with this name; raises `TenantNotFound`, or `Conflict` if several have it."""
        async with self._database.transaction(as_operator=True) as session:
            named = await TenantDirectory(session).find_by_name(name)
        if len(named) > 1:
            ids = ", ".join(map(str, named))
            raise Conflict(f"{len(named)} tenants are named {name!r}; give the id of one of them: {ids}.")
        if not named:
            raise TenantNotFound(f"No tenant has the id or name {name!r}.")
        return named[0]

    async def list_tenants(self, request: PageRequest) -> Page[TenantRecord]:
        """List one page of tenants, oldest first; raises `InvalidCursor`."""
        scope = "operator/tenants"
        after = self._cursors.open(scope, request.cursor, read_created) if request.cursor else None
        async with self._database.transaction(as_operator=True) as session:
            found = await TenantDirectory(session).list_page(after, request.limit + 1)
        return cut_page(
            found, request.limit, lambda last: self._cursors.sign(scope, write_created(last.created_at, last.id))
        )

    async def get(self, tenant_id: UUID) -> TenantRecord:
        """Return one tenant; raises `TenantNotFound`."""
        async with self._database.transaction(as_operator=True) as session:
            found = await TenantDirectory(session).find(tenant_id)
        if found is None:
            raise TenantNotFound
        return found

    async def set_plan(self, tenant_id: UUID, plan: str) -> None:
        """Assign a plan to a tenant; raises `PlanNotFound` or `TenantNotFound`."""
        async with self._database.transaction(as_operator=True) as session:
            if await PlanDirectory(session).find(plan) is None:
                raise PlanNotFound(f"There is no plan {plan!r}.")
            if not await TenantDirectory(session).set_plan(tenant_id, plan):
                raise TenantNotFound
            trail = self._trails.open(session, tenant_id, OPERATOR)
            await trail.record(AuditAction.PLAN_CHANGED, plan=plan)

    async def delete(self, tenant_id: UUID) -> None:
        """Erase a tenant with all of its data; raises `TenantNotFound`."""

        async def erase() -> None:
            async with self._database.transaction(as_operator=True) as session:
                if not await TenantDirectory(session).delete(tenant_id):
                    raise TenantNotFound

        await retry_transient(erase, _ATTEMPTS)  # concurrent writes of the tenant may deadlock with it

    async def list_plans(self, request: PageRequest) -> Page[Plan]:
        """List one page of plans by name; raises `InvalidCursor`."""
        scope = "operator/plans"
        after = self._cursors.open(scope, request.cursor, read_text) if request.cursor else None
        async with self._database.transaction(as_operator=True) as session:
            found = await PlanDirectory(session).list_page(after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.name))

    async def find_plan(self, name: str) -> Plan | None:
        async with self._database.transaction(as_operator=True) as session:
            return await PlanDirectory(session).find(name)

    async def save_plan(self, plan: Plan) -> None:
        """Create or replace a plan."""
        async with self._database.transaction(as_operator=True) as session:
            await PlanDirectory(session).save(plan)
