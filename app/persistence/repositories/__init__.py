"""Database queries, one file per noun. Repositories flush but never commit, and return domain values or records."""
