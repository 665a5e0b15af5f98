"""Plan the statements of hot functions once per connection instead of for every call.

Their statements find rows by whole keys, so the values do not matter for the plan. PostgreSQL planned some of them
anew each time, because it expects a plan for the values to be a little cheaper.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0043"
down_revision: str | None = "0042"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_FUNCTIONS = (
    "vultus_add_events",
    "vultus_add_usage",
    "vultus_admit_user",
    "vultus_append_audit_entry",
    "vultus_append_with_events",
    "vultus_begin_registration",
    "vultus_count_request",
    "vultus_find_api_key",
    "vultus_find_collection",
    "vultus_find_user",
    "vultus_list_subjects",
    "vultus_name_candidates",
    "vultus_store_templates",
)


def upgrade() -> None:
    _alter_all("SET plan_cache_mode = force_generic_plan")


def downgrade() -> None:
    _alter_all("RESET plan_cache_mode")


def _alter_all(change: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    names = ", ".join(f"'{name}'" for name in _FUNCTIONS)
    op.execute(f"""
        DO $$
        DECLARE
            hot regprocedure;
        BEGIN
            FOR hot IN SELECT oid FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND proname IN ({names})
            LOOP
                EXECUTE format('ALTER FUNCTION %s {change}', hot);
            END LOOP;
        END $$
    """)
