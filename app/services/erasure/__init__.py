"""Erasing people: expiry, replay after a restored backup, signed receipts."""
