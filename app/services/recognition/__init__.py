"""Recognize, verify, compare and search faces; stores nothing."""
