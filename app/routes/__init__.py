"""HTTP in and out, and nothing else."""

API = "/api/v1"
