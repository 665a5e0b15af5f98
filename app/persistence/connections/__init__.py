"""Connections to PostgreSQL: transactions, single statements, read-only snapshots."""
