"""From image bytes to faces with embeddings; knows no database and no web framework."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read by onnxruntime >= 1.29 when it is imported, which files below here do
