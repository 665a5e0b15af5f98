"""Which database to use: the configured one, or the embedded PostgreSQL; and its migrations."""
