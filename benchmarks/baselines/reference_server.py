"""Serve face recognition over HTTP in the usual design, for comparison.

    REFERENCE_PACK=DIR .venv/bin/uvicorn benchmarks.baselines.reference_server:app [--workers N]

It uses FastAPI and insightface's FaceAnalysis with its defaults on the CPU (ONNX Runtime on all cores, one input of
640x640). Pillow decodes photos completely, four threads run inference, and numpy compares embeddings in memory. Only
the process that registered a person finds that person. Every worker reads `REFERENCE_GALLERY` when it starts, an .npz
file with `subjects` and `embeddings`. There are no accounts and no limits, and nothing is stored.
"""

import asyncio
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Form, HTTPException, UploadFile
from insightface.app import FaceAnalysis
from PIL import Image, UnidentifiedImageError

CANDIDATES = 5

app = FastAPI(title="Reference")
executor = ThreadPoolExecutor(max_workers=4)

analysis = FaceAnalysis(
    name=os.environ["REFERENCE_PACK"],
    allowed_modules=["detection", "recognition"],
    providers=["CPUExecutionProvider"],
)
analysis.prepare(ctx_id=0, det_size=(640, 640))


class Gallery:
    """The people registered in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subjects: list[str] = []
        self._embeddings = np.empty((0, 512), np.float32)

    def load(self, path: str) -> None:
        """Load subjects and embeddings from an .npz file."""
        with np.load(path) as stored:
            self._subjects, self._embeddings = stored["subjects"].tolist(), stored["embeddings"]

    def add(self, subject: str, embeddings: list[Any]) -> None:
        with self._lock:
            self._subjects = self._subjects + [subject] * len(embeddings)
            self._embeddings = np.vstack([self._embeddings, *embeddings])

    def search(self, embedding: Any) -> list[dict[str, Any]]:
        """Return the most similar subjects, best first."""
        with self._lock:
            subjects, embeddings = self._subjects, self._embeddings
        if not subjects:
            return []
        similarities = embeddings @ embedding
        best = np.argsort(similarities)[::-1][:CANDIDATES]
        return [{"subject": subjects[index], "similarity": float(similarities[index])} for index in best]


gallery = Gallery()
if "REFERENCE_GALLERY" in os.environ:
    gallery.load(os.environ["REFERENCE_GALLERY"])


def find_faces(data: bytes) -> list[Any]:
    """Return every face of a photo with its embedding; raises a 400 error if the photo cannot be decoded."""
    try:
        rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise HTTPException(400, "the file is not an image") from error
    faces: list[Any] = analysis.get(np.ascontiguousarray(rgb[:, :, ::-1]))
    return faces


def recognize_faces(data: bytes) -> list[dict[str, Any]]:
    """Return every face of a photo with its candidates."""
    return [
        {
            "box": [float(value) for value in face.bbox],
            "score": float(face.det_score),
            "candidates": gallery.search(face.normed_embedding),
        }
        for face in find_faces(data)
    ]


@app.post("/register")
async def register(subject: Annotated[str, Form()], image: UploadFile) -> dict[str, Any]:
    data = await image.read()
    faces = await asyncio.get_running_loop().run_in_executor(executor, find_faces, data)
    if not faces:
        raise HTTPException(422, "no face in the image")
    gallery.add(subject, [face.normed_embedding for face in faces])
    return {"subject": subject, "faces": len(faces)}


@app.post("/recognize")
async def recognize(image: UploadFile) -> dict[str, Any]:
    data = await image.read()
    return {"faces": await asyncio.get_running_loop().run_in_executor(executor, recognize_faces, data)}


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}
