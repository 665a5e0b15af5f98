"""Tell receivers of events over HTTP: webhooks, their secrets and deliveries."""
