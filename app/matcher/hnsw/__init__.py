"""HNSW graphs: an optional way to search galleries that are too large for this process's cache of codes.

They are off by default (`VULTUS_SEARCH_HNSW_FROM=0`). docs/explanation/hnsw.md says when a graph is built and used,
how its recall is monitored, and why other strategies are preferred.
"""
