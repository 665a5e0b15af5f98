"""Implement the use cases, one per method, without HTTP and SQL; inference runs before the first query."""
