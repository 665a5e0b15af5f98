"""Prove that webhooks deliver everything, in order and in time, whatever receivers and workers do."""
