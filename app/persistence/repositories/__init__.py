"""Queries, one file a noun; they flush, never commit, and return domain values or rows."""
