"""PostgreSQL: connections, tables and repositories. Nothing here deals with HTTP, images or models."""
