"""Vultus: a self-hosted, multi-tenant face-recognition service."""

import os

# Set before numpy is imported. Matrix products here are small; BLAS threads would take cores from inference.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
