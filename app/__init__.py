"""Vultus: a self-hosted, multi-tenant face-recognition service."""
