"""Download the archive of a published pack from InsightFace's releases and unpack its networks."""

import shutil
import zipfile
from pathlib import Path

import httpx

RELEASE = "https://github.com/deepinsight/insightface/releases/download/model-zoo"
_TIMEOUT_S = 10  # to connect, and between two parts: a network that drops packets must not hang the start


def download_networks(url: str, target: Path) -> None:
    """Fill the new directory `target` with the ONNX files of a zip archive; their digests are not checked here.

    Raises `OSError`, `httpx.HTTPError`, or `zipfile.BadZipFile` if the archive is damaged.
    """
    archive = target.with_suffix(".zip")
    with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_S) as response, archive.open("wb") as file:
        response.raise_for_status()
        for part in response.iter_bytes():
            file.write(part)
    target.mkdir()
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            file_name = Path(member.filename).name  # some archives nest a directory
            if file_name.endswith(".onnx"):
                with opened.open(member) as source, (target / file_name).open("wb") as written:
                    shutil.copyfileobj(source, written)
    archive.unlink()
