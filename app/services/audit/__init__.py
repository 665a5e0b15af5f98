"""Record, list and verify the audit trail."""
