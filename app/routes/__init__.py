"""Serve the REST API. A handler parses the request, calls one service and returns its result; nothing else."""

API = "/api/v1"
