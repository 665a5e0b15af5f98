"""The REST API: parse a request, call one service, answer. Nothing else."""

API = "/api/v1"
