"""Connections to PostgreSQL: one pool for each kind of work.

database.py    SQLAlchemy engine: read-write transactions for repositories; the default choice
statements.py  `StatementPool` (asyncpg): one statement per request, without ORM or transaction context
snapshots.py   `SnapshotPool` (asyncpg): read-only snapshots for searches, embeddings in binary
driver.py      `DriverPool`: the asyncpg pool that the last two share
watchdog.py    `Watchdog`: notices a database that stopped responding
errors.py      translates driver errors into the service's errors
"""
