"""The queries of every request before its work, and of the plainest list, each in one round trip.

They find the caller, count the request, find the collection and list its subjects, with functions of migrations.
Through the ORM, the first three took longer than detecting a face. Rarer queries use the other repositories.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.people import Consent, Subject
from app.permissions import ROLE_PERMISSIONS, Permission, Plan, Principal, Quota, Role, permissions_of
from app.persistence.connections.database import Database

_TOUCH_INTERVAL_S = 60
_LIST_SUBJECTS = """
SELECT collection_id, subject, name, metadata, created_at, updated_at, templates, expires_at, consent, consented_at,
       consent_recorded_by, consent_withdrawn_at
FROM vultus_list_subjects($1, $2, $3, $4)
"""


class RateWindow(NamedTuple):
    """A window of a rate: the counter's key, its length and how many requests it allows."""

    key: str
    seconds: int
    amount: int


class FoundCollection(NamedTuple):
    """A collection's id and its recognizers; None where it has no recognizer of its own."""

    id: UUID
    recognizer: str | None
    secondary: str | None


class AdmittedUser(NamedTuple):
    """The user of a session, and what was counted and found together with them."""

    principal: Principal
    plan_version: int
    counted: "CountedRequest | None"
    """None if the request was not counted: the plan has changed, or the role lacks the permission."""
    collection: FoundCollection | None


class StoredKey(NamedTuple):
    """An API key, to verify a presented key against, and the program that it stands for."""

    id: UUID
    key_id: str
    """The service key under which the secret was hashed."""
    secret_hmac: bytes
    expires_at: datetime | None
    revoked_at: datetime | None
    principal: Principal
    was_just_used: bool
    """Whether its last use was recorded within the last minute."""


class CountedRequest(NamedTuple):
    """The requests in each window until now, as far as they were counted, and the seconds until each window ends."""

    totals: list[int]
    remaining_s: list[float]
    is_within_quota: bool
    """False if recognitions were to be counted and would have exceeded the quota."""


async def find_api_key(database: Database, public_id: str) -> StoredKey | None:
    """Find an API key, revoked or not, with the tenant's plan; none of it is to be trusted before the secret is."""
    row = await database.fetch_row(
        "SELECT tenant_id, id, key_id, secret_hmac, expires_at, revoked_at, scopes, collections, was_just_used, plan, "
        "rates::text AS rates, quotas::text AS quotas FROM vultus_find_api_key($1, $2)",
        public_id,
        _TOUCH_INTERVAL_S,
    )
    if row is None:
        return None
    principal = Principal(
        row["tenant_id"],
        permissions_of(row["scopes"]),
        read_plan(row["plan"], json.loads(row["rates"]), json.loads(row["quotas"])),
        key_id=row["id"],
        collections=frozenset(row["collections"]) if row["collections"] is not None else None,
    )
    times = row["expires_at"], row["revoked_at"]
    return StoredKey(row["id"], row["key_id"], row["secret_hmac"], *times, principal, row["was_just_used"])


class HotQueries:
    """One tenant's hot queries; each SQL function sets the tenant itself, so that row-level security applies."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def find_user(self, session_id: UUID, user_id: UUID) -> Principal | None:
        """Find the user of a session that is neither revoked nor expired, with their current role."""
        row = await self._database.fetch_row(
            "SELECT email, role, plan, rates::text AS rates, quotas::text AS quotas, must_enroll "
            "FROM vultus_find_user($1, $2, $3)",
            self._tenant_id,
            session_id,
            user_id,
        )
        if row is None:
            return None
        plan = read_plan(row["plan"], json.loads(row["rates"]), json.loads(row["quotas"]))
        return self._describe_user(row, plan, session_id, user_id)

    def _describe_user(self, row: Any, plan: Plan, session_id: UUID, user_id: UUID) -> Principal:
        role, must_enroll = Role(row["role"]), row["must_enroll"]
        return Principal(
            self._tenant_id,
            frozenset() if must_enroll else ROLE_PERMISSIONS[role],
            plan,
            user_id=user_id,
            session_id=session_id,
            email=row["email"],
            role=role,
            must_enroll=must_enroll,
        )

    async def count_recognitions(self, quota: int | None, images: int) -> bool:
        """Add `images` to this month's recognitions; return False and add nothing if that would exceed `quota`."""
        row = await self._database.fetch_row(
            "SELECT vultus_count_recognitions($1, $2, $3) AS done", self._tenant_id, quota, images
        )
        return bool(row["done"])

    async def admit_user(
        self,
        session_id: UUID,
        user_id: UUID,
        permission: Permission,
        known: tuple[Plan, int] | None,
        windows: Sequence[RateWindow],
        *,
        images: int,
        collection: str | None,
    ) -> AdmittedUser | None:
        """Find the user of a valid session, as `find_user` does, and the collection of this name.

        The request is counted as by `count_request`, in windows of the `known` plan, if that is still the tenant's plan
        in this version, and if the user's role has the permission.
        """
        plan, version = known if known is not None else (None, 0)
        row = await self._database.fetch_row(
            "SELECT email, role, plan, version, rates::text AS rates, quotas::text AS quotas, was_counted, counts, "
            "remaining_s, is_counted, collection_id, recognizer, secondary, must_enroll "
            "FROM vultus_admit_user($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            self._tenant_id,
            session_id,
            user_id,
            [role.value for role, permissions in ROLE_PERMISSIONS.items() if permission in permissions],
            plan.name if plan is not None else None,
            version,
            [window.key for window in windows],
            [window.seconds for window in windows],
            [window.amount for window in windows],
            plan.quota(Quota.RECOGNITIONS) if plan is not None else None,
            images,
            collection,
        )
        if row is None:
            return None
        if plan is None or row["rates"] is not None:
            plan = read_plan(row["plan"], json.loads(row["rates"]), json.loads(row["quotas"]))
        counted = None
        if row["was_counted"]:
            counted = CountedRequest(row["counts"], row["remaining_s"], row["is_counted"] is not False)
        found = None
        if row["collection_id"] is not None:
            found = FoundCollection(row["collection_id"], row["recognizer"], row["secondary"])
        principal = self._describe_user(row, plan, session_id, user_id)
        return AdmittedUser(principal, row["version"], counted, found)

    async def touch_api_key(self, key_id: UUID) -> None:
        """Record the time of an API key's use."""
        await self._database.fetch_row("SELECT vultus_touch_api_key($1, $2)", self._tenant_id, key_id)

    async def count_request(
        self, windows: Sequence[RateWindow], calls: int, quota: int | None, images: int
    ) -> CountedRequest:
        """Count `calls` in each window of a rate, and `images` recognitions of this month if none refuses them.

        Counts windows in order up to the first that is exceeded. Recognitions beyond `quota` are not counted.
        """
        row = await self._database.fetch_row(
            "SELECT counts, remaining_s, is_counted FROM vultus_count_request($1, $2, $3, $4, $5, $6, $7)",
            self._tenant_id,
            [window.key for window in windows],
            [window.seconds for window in windows],
            [window.amount for window in windows],
            calls,
            quota,
            images,
        )
        return CountedRequest(row["counts"], row["remaining_s"], row["is_counted"] is not False)

    async def find_collection(self, name: str) -> FoundCollection | None:
        row = await self._database.fetch_row(
            "SELECT id, recognizer, secondary_recognizer FROM vultus_find_gallery($1, $2)", self._tenant_id, name
        )
        return FoundCollection(*row) if row is not None else None

    async def list_subjects(self, collection: str, after: str | None, limit: int) -> tuple[UUID, list[Subject]] | None:
        """List up to `limit` subjects after a subject id, by id; returns them with the id of their collection.

        Returns None if there is no such collection.
        """
        rows = await self._database.fetch_rows(_LIST_SUBJECTS, self._tenant_id, collection, after or "", limit)
        if not rows:
            return None
        return rows[0]["collection_id"], [_describe_subject(row) for row in rows if row["subject"] is not None]


def _describe_subject(row: Any) -> Subject:
    _, subject, name, metadata, created_at, updated_at, templates, expires_at, reference, given_at, by, until = row
    consent = Consent(reference, given_at, by or "", until) if reference is not None and given_at is not None else None
    return Subject(subject, name, json.loads(metadata), created_at, updated_at, templates, consent, expires_at)


def read_plan(name: str, rates: dict[str, str], quotas: dict[str, Any]) -> Plan:
    """Convert a stored plan; a quota that is neither an integer nor null counts as 0."""
    # Fail closed: somebody may have edited the table directly, and an unreadable quota must not mean "no limit".
    checked = {name: limit if limit is None or isinstance(limit, int) else 0 for name, limit in quotas.items()}
    return Plan(name, rates, checked)
