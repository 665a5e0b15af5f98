"""Erase people: on expiry, again after a restored backup, and with signed receipts."""
