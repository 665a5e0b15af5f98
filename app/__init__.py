"""Vultus: a self-hosted, multi-tenant face-recognition service."""

import os

# Before numpy is imported. Its products here are small; threads of its own would take the inferences' cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
