"""PostgreSQL: connections, tables, repositories; knows nothing of HTTP, images or models."""
