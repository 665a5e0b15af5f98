"""Provides the database: the configured one or the embedded PostgreSQL, and its migrations."""
