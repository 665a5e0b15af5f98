"""Manage tenants, their plans, quotas, policies and usage."""
