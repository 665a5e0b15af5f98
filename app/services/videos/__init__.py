"""Receive videos, find who appears in them and when, and search them."""
