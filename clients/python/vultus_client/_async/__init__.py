"""The client that awaits; `vultus_client._sync` is generated from it, apart from `concurrency.py`."""
