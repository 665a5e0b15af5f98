"""Attacks on a running server, by what they try: tenants' data, credentials, photos, and the time of other tenants."""
