"""Fetch photos from object stores, and read their faces."""
