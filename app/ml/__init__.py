"""Turn image bytes into faces with embeddings; knows no database and no web framework."""

import os

# onnxruntime 1.29 and later read this on import, so it must be set before any module of this package imports it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
