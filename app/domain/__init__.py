"""Frozen value types that the layers share; no behavior beyond what the values say about themselves."""
