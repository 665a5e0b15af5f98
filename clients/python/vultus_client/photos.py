"""Read photos from wherever they are: paths, files, bytes, arrays; URLs are fetched by the server."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
else:
    Array = Any

Photo = str | os.PathLike[str] | bytes | bytearray | BinaryIO | Array
"""A photo: the path of a file, its content, an open binary file, an array, or a URL that begins with http.

An array has shape (height, width, 3) in RGB order, or (height, width), and dtype uint8.
It is sent as PNG, without loss.
A URL works where the operator has allowed its host.
"""

Part = tuple[str, Any, str]
"""A part of a form: file name, content, media type."""

_MEDIA_TYPE = "application/octet-stream"


def is_url(photo: Photo) -> bool:
    """Return whether the server fetches this photo."""
    return isinstance(photo, str) and photo.startswith(("http://", "https://"))


def read_photo(photo: Photo) -> Part:
    """Return a photo as a part of a form; its name is never sent. Raises `OSError` or `TypeError`."""
    return "photo", read_bytes(photo), _MEDIA_TYPE


def read_bytes(photo: Photo) -> bytes:
    """Return the encoded photo."""
    if isinstance(photo, bytes | bytearray):
        return bytes(photo)
    if isinstance(photo, str | os.PathLike):
        return Path(photo).read_bytes()
    if hasattr(photo, "read"):
        return bytes(photo.read())
    if hasattr(photo, "__array_interface__"):
        return _encode(photo)
    raise TypeError(f"a photo is a path, bytes, an open file, an array or a URL, not {type(photo).__name__}")


def _encode(array: Array) -> bytes:
    try:
        from PIL import Image  # noqa: PLC0415
    except ImportError as exc:
        raise TypeError("photos as arrays need Pillow: pip install 'vultus-client[arrays]'") from exc
    if str(array.dtype) != "uint8":
        raise TypeError(f"an array has dtype uint8, not {array.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
