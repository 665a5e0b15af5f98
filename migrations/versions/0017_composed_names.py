"""Store ids, names, references and emails in Unicode's composed form (NFC), as requests are now read.

Where two subjects of a collection, or two users, differ only in this, one keeps its id and a warning names the other
one's row: such a subject gets the suffix `-nfd1`, such a user keeps an email that no longer signs in.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TABLES = ("subjects", "users")

_COMPOSE_SUBJECTS = """
DO $$
DECLARE
    row record;
    wanted text;
    candidate text;
    number int;
BEGIN
    FOR row IN SELECT tenant_id, collection_id, id, subject FROM subjects
               WHERE subject IS NOT NFC NORMALIZED ORDER BY created_at, id LOOP
        wanted := normalize(row.subject, NFC);
        candidate := wanted;
        number := 0;
        WHILE EXISTS (SELECT 1 FROM subjects s WHERE s.tenant_id = row.tenant_id
                      AND s.collection_id = row.collection_id AND s.subject = candidate AND s.id <> row.id) LOOP
            number := number + 1;
            candidate := left(wanted, 118) || '-nfd' || number;
        END LOOP;
        IF number > 0 THEN
            RAISE WARNING 'subject % of tenant %: another subject has this id; the suffix -nfd% was added',
                row.id, row.tenant_id, number;
        END IF;
        UPDATE subjects SET subject = candidate WHERE tenant_id = row.tenant_id AND id = row.id;
    END LOOP;
END $$
"""

_COMPOSE_EMAILS = """
DO $$
DECLARE
    row record;
BEGIN
    FOR row IN SELECT tenant_id, id, email FROM users WHERE email IS NOT NFC NORMALIZED LOOP
        IF EXISTS (SELECT 1 FROM users u WHERE u.email = normalize(row.email, NFC)) THEN
            RAISE WARNING 'user % of tenant %: another user has this email', row.id, row.tenant_id;
        ELSE
            UPDATE users SET email = normalize(row.email, NFC) WHERE tenant_id = row.tenant_id AND id = row.id;
        END IF;
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:  # the owner must see every tenant's rows
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(_COMPOSE_SUBJECTS)
    for column in ("name", "consent"):
        op.execute(f"UPDATE subjects SET {column} = normalize({column}, NFC) WHERE {column} IS NOT NFC NORMALIZED")
    op.execute(_COMPOSE_EMAILS)
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Nothing to do: composed text is valid for earlier versions."""
