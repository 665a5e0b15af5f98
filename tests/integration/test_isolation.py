"""The second net: PostgreSQL keeps tenants apart even when our own code does not."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.accounts import LinkKind
from app.domain.albums import Keep
from app.domain.faces import BoundingBox, Face, Quality, RelativeBox
from app.domain.sightings import FacePair
from app.domain.tenancy import ObjectStore, Policy
from app.domain.video_jobs import JobFace, JobMatch, VideoJobKind, VideoJobOrder
from app.domain.videos import Interval, Sampling, VideoSource
from app.permissions import Quota
from app.persistence.connections.database import Database
from app.persistence.models import (
    TENANT_TABLES,
    AlbumLinkModel,
    AppearanceFaceModel,
    Base,
    FaceCropModel,
    UsageDayModel,
)
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.persistence.repositories.account_links import AccountLinkRepository
from app.persistence.repositories.album_people import AlbumPeopleRepository
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.appearances import AppearanceRepository, SeenStrand
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.clusters import ClusterRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.idempotency_records import IdempotencyRecord, IdempotencyRecords
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.persistence.repositories.object_stores import ObjectStoreRepository, StoredObjectStore
from app.persistence.repositories.operations import OperationRepository
from app.persistence.repositories.photos import PhotoRepository
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.second_factors import SecondFactorRepository
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.sightings import SightingRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.repositories.tenants import TenantDirectory
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.users import UserRepository
from app.persistence.repositories.video_jobs import VideoJobRepository
from app.persistence.repositories.video_steps import StepKind, VideoStepRepository
from app.persistence.repositories.videos import VideoRepository
from app.persistence.repositories.webhooks import EncryptedSecret, WebhookRepository
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from tests.servers import free_port, listening

TABLES = sorted(model.__tablename__ for model in TENANT_TABLES)
KEYRING = Keyring([b"a secret for tests only, 32 bytes or more"])
PROTECTOR = TemplateProtector(KEYRING)
FACE = Face(BoundingBox(0, 0, 90, 110), ((0.0, 0.0),) * 5, 0.9, Quality(90, 100, 120, 0, 0, 0))


@pytest.fixture(scope="module")
async def service(service_url: str) -> AsyncIterator[Database]:
    """The pool of the service's own login, as in production."""
    database = Database(service_url)
    yield database
    await database.close()


async def furnish(service: Database) -> UUID:
    """A tenant with a row in every table."""
    from datetime import UTC, date, datetime, timedelta

    tenant_id = uuid4()
    async with service.transaction(tenant_id) as session:
        await TenantDirectory(session).add(tenant_id, "tenant")
        email = f"{tenant_id}@example.com"
        user_id = await UserRepository(session, tenant_id).add(email=email, password_hash="x", role="admin")
        assert user_id is not None
        await SessionRepository(session, tenant_id).add(user_id, datetime.now(UTC) + timedelta(hours=1))
        await AccountLinkRepository(session, tenant_id).add(
            LinkKind.INVITATION,
            email="new@example.com",
            public_id=tenant_id.hex,
            key_id="k",
            secret_hmac=b"",
            created_by="test",
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
        factors = SecondFactorRepository(session, tenant_id)
        await factors.begin(user_id, "k", b"")
        await factors.replace_codes(user_id, [b""])
        collections = CollectionRepository(session, tenant_id)
        await collections.add("default")
        row = await collections.find_row("default")
        assert row is not None
        subject_id = await SubjectRepository(session, tenant_id).upsert(row.id, "ada", None, None)
        embedding = np.eye(1, 512, dtype=np.float32)[0]
        await ApiKeyRepository(session, tenant_id).add(
            name="key",
            public_id=tenant_id.hex,
            key_id="k",
            secret_hmac=b"",
            scopes=[],
            collections=None,
            expires_at=None,
        )
        await AccessKeyRepository(session, tenant_id).add(
            public_id=tenant_id.hex, key_id="k", secret_encrypted=b"", scopes=[]
        )
        await PolicyRepository(session, tenant_id).save(Policy(consent_required=False, retention_days=30))
        store = StoredObjectStore(ObjectStore("https://photos.example", "us-east-1", "reader"), "k", b"")
        await ObjectStoreRepository(session, tenant_id).save(store)
        await AlbumRepository(session, tenant_id).add(
            row.id, title=None, keep=Keep.CROPS, expected=None, expires_at=datetime.now(UTC) + timedelta(days=1)
        )
        photo_id, photos = uuid4(), PhotoRepository(session, tenant_id)
        await photos.add(photo_id, row.id, "1.jpg", has_object=False)
        await photos.begin_turn()
        session.add(FaceCropModel(tenant_id=tenant_id, face_id=uuid4(), photo_id=photo_id, key_id="k", picture=b""))
        face_id, other_id = uuid4(), uuid4()
        seen = {face_id: photo_id, other_id: photo_id}
        await SightingRepository(session, tenant_id).add_all(row.id, seen, {}, stale=False)
        pair = FacePair(face_id, other_id, are_same=False)
        await ClusterRepository(session, tenant_id).add_constraints(row.id, [pair], "test")
        await SightingRepository(session, tenant_id).add_rejections([(face_id, subject_id)], "test")
        await AlbumPeopleRepository(session, tenant_id).replace(row.id, [row.id])
        await OperationRepository(session, tenant_id).add(row.id, "decide", "test", [])
        _, appearance_id = await add_video(session, tenant_id, row.id)
        session.add(AppearanceFaceModel(tenant_id=tenant_id, face_id=face_id, appearance_id=appearance_id))
        session.add(
            AlbumLinkModel(
                tenant_id=tenant_id,
                collection_id=row.id,
                public_id=tenant_id.hex,
                key_id="k",
                secret_hmac=b"",
                consent_text="x",
                rate="1/minute",
                created_by="test",
                expires_at=datetime.now(UTC) + timedelta(days=1),
            )
        )
        session.add(
            UsageDayModel(tenant_id=tenant_id, day=date(2026, 1, 1), operation="x", caller="y", calls=1, images=0)
        )
        await WebhookRepository(session, tenant_id).add(
            uuid4(), secret=EncryptedSecret("k", b""), url="https://x.example", description="", types=[], collections=[]
        )
        trail = AuditTrail(AuditRepository(session, tenant_id), KEYRING, "test")
        # Adds an event, and its delivery to the webhook.
        await trail.record(AuditAction.COLLECTION_CREATED, "collection:default")
        await IdempotencyRecords(session, tenant_id).add("user", "key", IdempotencyRecord(b"", 200, ""), None)
        await TemplateStore(session, tenant_id, PROTECTOR).add_all(
            [NewFace.of(subject_id, FACE, {"r": embedding})], collection_id=row.id, source="test"
        )
    return tenant_id


async def add_video(session: AsyncSession, tenant_id: UUID, collection_id: UUID) -> tuple[UUID, UUID]:
    """A video with a step and what it saw; the ids of the video and of the appearance."""
    video_id = await VideoRepository(session, tenant_id).begin(collection_id, "1.mp4", Sampling())
    assert video_id is not None
    await VideoStepRepository(session, tenant_id).add(video_id, 0, StepKind.LOOK)
    jobs = VideoJobRepository(session, tenant_id)
    job_id = await jobs.add(VideoJobOrder(VideoJobKind.DETECTION), VideoSource("b", "1.mp4"), Sampling(), "key:1")
    box = RelativeBox(0, 0, 1, 1)
    await jobs.store(job_id, [JobFace(0, 0, box, 0.9)], [JobMatch(0, uuid4(), 0.5)])
    strand = SeenStrand(uuid4(), Interval(0, 1), 0, RelativeBox(0, 0, 1, 1), 1, "k", b"")
    await AppearanceRepository(session, tenant_id).add_strands(video_id, 0, [strand])
    return video_id, strand.id


@pytest.fixture(scope="module")
async def tenants(service: Database) -> tuple[UUID, UUID]:
    return await furnish(service), await furnish(service)


async def owners(session: AsyncSession, table: str) -> set[UUID]:
    column = "id" if table == "tenants" else "tenant_id"
    return set(await session.scalars(text(f"SELECT DISTINCT {column} FROM {table}")))


@pytest.mark.parametrize("table", ["tenants", *TABLES])
async def test_without_a_context_there_are_no_rows(service: Database, tenants: tuple[UUID, UUID], table: str) -> None:
    async with service.transaction() as session:
        assert await owners(session, table) == set()


@pytest.mark.parametrize("table", ["tenants", *TABLES])
async def test_a_query_without_any_condition_sees_its_tenant_only(
    service: Database, tenants: tuple[UUID, UUID], table: str
) -> None:
    for tenant_id in tenants:
        async with service.transaction(tenant_id) as session:
            assert await owners(session, table) == {tenant_id}


@pytest.mark.parametrize("table", TABLES)
async def test_rows_cannot_be_changed_deleted_or_moved_across_tenants(
    service: Database, tenants: tuple[UUID, UUID], table: str
) -> None:
    mine, theirs = tenants
    async with service.transaction(mine) as session:
        may = text("SELECT has_table_privilege('vultus_app', :table, :what)")
        can_update, can_delete = [
            await session.scalar(may, {"table": table, "what": what}) for what in ("UPDATE", "DELETE")
        ]
        assert can_update == (table != "audit_entries")
        assert can_delete == (table not in ("audit_entries", "audit_heads", "usage_days"))
        if can_update:
            update = text(f"UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = :theirs RETURNING 1")
            assert (await session.execute(update, {"theirs": theirs})).all() == []
        if can_delete:
            delete = text(f"DELETE FROM {table} WHERE tenant_id = :theirs RETURNING 1")
            assert (await session.execute(delete, {"theirs": theirs})).all() == []

    async def move() -> None:
        async with service.transaction(mine) as session:
            # No key in the way: only the policy can refuse this.
            await session.execute(text(f"UPDATE {table} SET tenant_id = :theirs"), {"theirs": theirs})

    with pytest.raises(DBAPIError, match="row-level security" if can_update else "permission denied"):
        await move()


async def test_a_row_for_another_tenant_cannot_be_inserted(service: Database, tenants: tuple[UUID, UUID]) -> None:
    mine, theirs = tenants

    async def smuggle() -> None:
        async with service.transaction(mine) as session:
            await CollectionRepository(session, theirs).add("smuggled")

    with pytest.raises(DBAPIError, match="row-level security"):
        await smuggle()


async def test_the_context_ends_with_its_transaction(service_url: str, tenants: tuple[UUID, UUID]) -> None:
    database = Database(service_url, pool_size=1)  # the same connection serves both
    async with database.transaction(tenants[0]) as session:
        assert await owners(session, "subjects") == {tenants[0]}
    async with database.transaction() as session:
        assert await owners(session, "subjects") == set()
    async with database.engine.connect() as connection:
        settings = (
            "SELECT current_setting('app.tenant_id', true), current_setting('app.lookup', true), current_user::text"
        )
        tenant, lookup, role = (await connection.execute(text(settings))).one()
        assert not tenant
        assert not lookup
        assert role == "vultus"
    await database.close()


async def test_a_lookup_shows_one_login_and_nothing_else(service: Database, tenants: tuple[UUID, UUID]) -> None:
    async with service.transaction(lookup=f"{tenants[0]}@example.com") as session:
        assert await owners(session, "users") == {tenants[0]}
        for table in set(TABLES) - {"users"}:
            assert await owners(session, table) == set()


@pytest.mark.parametrize("role", ["postgres", "vultus_operator"])
async def test_the_services_login_cannot_become_anybody_else(service_url: str, role: str) -> None:
    connection = await asyncpg.connect(service_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(f"SET ROLE {role}")
    await connection.close()


async def test_the_services_login_owns_nothing_and_bypasses_nothing(service: Database, database: Database) -> None:
    assert (await service.login_rights()).is_confined
    assert not (await database.login_rights()).is_confined
    for role in ("vultus_operator", "postgres"):  # what a login may become counts as well
        async with database.engine.begin() as connection:
            await connection.execute(text(f"GRANT {role} TO vultus"))
        assert not (await service.login_rights()).is_confined
        async with database.engine.begin() as connection:
            await connection.execute(text(f"REVOKE {role} FROM vultus"))
    for statement in ("DROP TABLE templates", "ALTER TABLE templates DISABLE ROW LEVEL SECURITY", "TRUNCATE users"):

        async def attempt(statement: str = statement) -> None:
            async with service.transaction() as session:
                await session.execute(text(statement))

        with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
            await attempt()


async def test_an_owner_without_superpowers_can_migrate_and_cascades_still_count(
    postgres: EmbeddedPostgres, service_url: str
) -> None:
    """As on a managed PostgreSQL: the owner may create roles, the extension is there, row-level security binds all."""
    name = "owned_by_nobody_special"
    admin = await asyncpg.connect(await postgres.ensure_database("owner_test"))
    await admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE")
    await admin.execute(f"GRANT vultus_app, vultus_operator TO {name}")  # roles belong to the server, and are there
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    await admin.close()
    extended = await asyncpg.connect(await postgres.ensure_database(name))
    await extended.execute("CREATE EXTENSION vector")
    await extended.close()
    url = make_url(await postgres.ensure_database(name)).set(username=name)
    await asyncio.to_thread(migrate, url.render_as_string(hide_password=False))
    service = Database(url.set(username="vultus").render_as_string(hide_password=False))
    operator = Database(url.render_as_string(hide_password=False))
    tenant_id = await furnish(service)

    async def used(quota: Quota) -> int:
        async with service.transaction(tenant_id) as session:
            return await UsageRepository(session, tenant_id).count_used(quota)

    assert await used(Quota.TEMPLATES) == 1
    async with service.transaction(tenant_id) as session:
        assert await CollectionRepository(session, tenant_id).delete("default")
    assert (await used(Quota.TEMPLATES), await used(Quota.COLLECTIONS), await used(Quota.USERS)) == (0, 0, 1)
    async with operator.transaction(as_operator=True) as session:
        assert await TenantDirectory(session).delete(tenant_id)
    for database in (service, operator):
        await database.close()


async def test_every_table_with_tenant_id_forces_row_level_security(database: Database) -> None:
    statement = text(
        "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class "
        "WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    async with database.engine.connect() as connection:
        forced = {row[0]: row[1] for row in await connection.execute(statement)}
        with_tenant = set(
            await connection.scalars(
                text("SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id'")
            )
        )
    assert with_tenant == set(TABLES)
    assert with_tenant | {"tenants"} <= set(Base.metadata.tables)
    assert all(forced[table] for table in with_tenant | {"tenants"})


def has_pgbouncer() -> bool:
    return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin") is not None


@contextmanager
def pgbouncer(service_url: str, directory: Path) -> Iterator[str]:
    """PgBouncer in transaction mode before the tests' PostgreSQL; the address to use."""
    url = make_url(service_url)
    port = free_port()
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n{url.database} = host={url.query['host']} dbname={url.database} user={url.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = 4\nmax_client_conn = 200\nunix_socket_dir =\n"
    )
    directory.chmod(0o755)
    for parent in directory.parents:
        if parent.name.startswith("pytest"):
            parent.chmod(0o755)
    user = "pgserver" if os.geteuid() == 0 else None  # PgBouncer refuses to be root, and the socket has one owner
    binary = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    with listening([str(binary), "-q", str(directory / "pgbouncer.ini")], port, user=user):
        yield f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"


@pytest.mark.skipif(not has_pgbouncer(), reason="pgbouncer is not installed")
async def test_ten_thousand_interleaved_transactions_behind_pgbouncer_meet_no_foreign_row(
    service: Database, service_url: str, tmp_path: Path
) -> None:
    tenants = [await furnish(service) for _ in range(8)]
    foreign = wrong = 0
    with pgbouncer(service_url, tmp_path) as address:
        database = Database(address, pool_size=24, behind_pgbouncer=True)
        order = random.Random(3)
        remaining = 10_000

        async def work() -> None:
            nonlocal foreign, wrong, remaining
            while remaining > 0:
                remaining -= 1
                tenant_id = order.choice([*tenants, None])
                async with database.transaction(tenant_id) as session:
                    seen = await owners(session, order.choice(("subjects", "templates", "collections")))
                    if order.random() < 0.2:
                        await asyncio.sleep(0)
                    seen |= await owners(session, "users")
                foreign += bool(seen - {tenant_id})
                wrong += seen != ({tenant_id} if tenant_id else set())

        await asyncio.gather(*(work() for _ in range(24)))
        await database.close()
    assert (foreign, wrong) == (0, 0)


async def test_brief_questions_see_their_tenant_only_and_leave_nothing_behind(
    service: Database, tenants: tuple[UUID, UUID]
) -> None:
    mine, theirs = tenants
    own = await HotQueries(service, mine).find_collection("default")
    other = await HotQueries(service, theirs).find_collection("default")
    assert own is not None
    assert other is not None
    assert own != other
    assert await HotQueries(service, mine).find_collection("nowhere") is None
    assert await HotQueries(service, mine).count_recognitions(None, 1)
    # Entered for the one statement: what the pool hands out next is nobody's.
    async with service.engine.connect() as connection:
        row = (await connection.execute(text("SELECT current_user, current_setting('app.tenant_id', true)"))).one()
    assert row[0] != "vultus_app"
    assert not row[1]
    # The function's own condition apart, row-level security holds: nothing of theirs is counted in our name.
    async with service.transaction(mine) as session:
        statement = text("UPDATE tenant_usage SET recognitions = recognitions WHERE tenant_id = :theirs RETURNING 1")
        assert (await session.execute(statement, {"theirs": theirs})).all() == []
