"""Write the synthetic pack to a directory; `vultus models install synthetic` and a first `make run` call this."""

import os
import shutil
import tempfile
from pathlib import Path

from app.ml.packs.manifest import MANIFEST_FILE, PackManifest, write_manifest
from app.ml.synthetic.detector import build_detector
from app.ml.synthetic.recognizer import build_recognizer

VERSION = "1"
"""Increase this when the portraits, the detector or the recognizer change: an existing pack is never regenerated."""

# Of 44,000 impostor pairs one in a thousand reached 0.69 and the highest 0.79; 99% of the genuine pairs lie above 0.76
# (detected, aligned and embedded pictures of 100 people).
_THRESHOLD = 0.73


def write_synthetic_pack(parent: Path) -> Path:
    """Generate the pack in a directory inside `parent`, unless it exists, and return that directory.

    The first call takes a few seconds. Concurrent calls are safe.
    """
    target = parent / f"synthetic-{VERSION}"
    if (target / MANIFEST_FILE).is_file():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".synthetic-", dir=parent))
    try:
        (partial / "det_drawn.onnx").write_bytes(build_detector())
        (partial / "rec_drawn.onnx").write_bytes(build_recognizer())
        manifest = PackManifest(
            name="synthetic",
            version=VERSION,
            license="MIT, made by Vultus",
            threshold=_THRESHOLD,
            threshold_source="measured on drawn faces",
            detection="det_drawn.onnx",
            recognition="rec_drawn.onnx",
            knows_only_drawings=True,
        )
        write_manifest(partial, manifest)
        try:
            os.replace(partial, target)
        except OSError:
            if not (target / MANIFEST_FILE).is_file():  # otherwise another process created it first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
