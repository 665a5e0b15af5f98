"""Tenants, their plans, quotas, policies and usage."""
