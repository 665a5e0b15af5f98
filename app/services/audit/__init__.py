"""The audit trail: written in the transaction of each change, read by page, verified."""
