"""Read and write a subject's document face by face, in a thread: at once, a large one would stop the event loop.

A parser in C holds Python's global lock until it returns. The faces of a document are therefore found by their
brackets, within limits, and each is parsed on its own.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.domain.people import ExportedFace
from app.errors import InvalidParameter
from app.schemas.json_documents import parse_json
from app.schemas.portability import MAX_TEMPLATES, ExportedFaceBody, SubjectDocument
from app.services.people.portability import SubjectExport

MAX_REST_BYTES = 1024 * 1024
"""Of a document without its faces; 1,000 audit entries take about 600 KiB."""
MAX_FACE_BYTES = 64 * 1024
"""512 numbers of 20 digits take 11 KiB."""
MAX_FACE_PARTS = 200
"""Texts and brackets of one face; 20 measures of quality and the other fields take 100."""
MAX_DEPTH = 16

_PARTS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_NAMES = re.compile(rb'("(?:[^"\\]|\\.)*+")\s*:')
_BEFORE_LIST = re.compile(rb"\s*:\s*(?=\[)")
_WINDOW_BYTES = MAX_REST_BYTES
"""An expression searches so many bytes at once: until it returns, it holds Python's lock too."""
_SPACE = b" \t\r\n"
_FACE_DEPTH = 3
"""Of the document, its list and the face."""


class DocumentInvalid(Exception):
    """Carries pydantic's errors about a document, located from its root."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.errors = errors
        super().__init__("invalid document")


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document without its faces, and its faces."""

    document: SubjectDocument
    faces: list[ExportedFace]


def read_subject_document(data: bytes) -> ReadDocument:
    """Parse a document; blocks. Raises `DocumentInvalid`, or `InvalidParameter` if a part exceeds its limit."""
    spans = _find_faces(data)
    try:
        rest = spans.rest(data)
        document = SubjectDocument.model_validate_json(rest)
        parse_json(rest)
    except ValidationError as exc:
        raise DocumentInvalid([dict(error) for error in exc.errors()]) from exc
    return ReadDocument(
        document, [_read_face(index, data[begin:end]) for index, (begin, end) in enumerate(spans.faces)]
    )


def write_subject_document(export: SubjectExport) -> bytes:
    """Return the document as JSON; blocks."""
    rest = SubjectDocument.of(export).model_dump_json(exclude={"faces"})
    faces = ",".join(ExportedFaceBody.of(face, export.pictures.get(face.id)).model_dump_json() for face in export.faces)
    return f'{rest[:-1]},"faces":[{faces}]}}'.encode()


def _read_face(index: int, data: bytes) -> ExportedFace:
    try:
        face = ExportedFaceBody.model_validate_json(data).face()
    except ValidationError as exc:
        errors = [{**error, "loc": ("faces", index, *error["loc"])} for error in exc.errors()]
        raise DocumentInvalid(errors) from exc
    names = _NAMES.findall(data)
    if len(set(names)) < len(names):  # rarely: parsing every embedding twice would take too long
        parse_json(data)
    return face


@dataclass(frozen=True, slots=True)
class _Spans:
    faces: list[tuple[int, int]]
    """Begin and end of each face."""
    list_begin: int = 0
    list_end: int = 0

    def rest(self, data: bytes) -> bytes:
        """The document with an empty list of faces, or as it is without a list."""
        return data[: self.list_begin] + b"[]" + data[self.list_end :] if self.list_end else data


def _find_faces(data: bytes) -> _Spans:
    """Find the faces by their brackets; what is no JSON is left for the parser to find."""
    found, depth, skipped = _Spans([]), 0, 0
    parts = _iterate_parts(data)
    for part in parts:
        text = part[0]
        if text in (b"[", b"{"):
            depth += 1
        elif text in (b"]", b"}"):
            depth -= 1
        elif (
            depth == 1
            and (before := _BEFORE_LIST.match(data, part.end(), part.end() + _WINDOW_BYTES))
            and _is_faces(text)
        ):
            if found.list_end:
                raise InvalidParameter("faces: appears twice.", field="faces")
            found = _read_list(data, parts, before.end())
            skipped = found.list_end - found.list_begin
        _check("the document without faces", part.end() - skipped, MAX_REST_BYTES, "bytes")
        _check("the document's nesting", depth, MAX_DEPTH, "levels")
    _check("the document without faces", len(data) - skipped, MAX_REST_BYTES, "bytes")
    return found


def _iterate_parts(data: bytes) -> Iterator[re.Match[bytes]]:
    """Yield every text and bracket; a text longer than a window is cut, which is above every limit."""
    begin = 0
    while begin < len(data):
        end = min(begin + _WINDOW_BYTES, len(data))
        for part in _PARTS.finditer(data, begin, end):
            if part.end() == end < len(data) and part.start() > begin and part[0].startswith(b'"'):
                end = part.start()  # it may go on beyond the window
                break
            yield part
        begin = end


def _read_list(data: bytes, parts: Iterator[re.Match[bytes]], begin: int) -> _Spans:
    """Find the faces of the list that begins at `begin`; raises `InvalidParameter` if it holds anything else."""
    faces: list[tuple[int, int]] = []
    depth, face_begin, face_parts, end = 1, 0, 0, begin + 1
    for part in parts:
        text, face_parts = part[0], face_parts + 1
        if text in (b"[", b"{"):
            depth += 1
        elif text in (b"]", b"}"):
            depth -= 1
        if text == b"{" and depth == _FACE_DEPTH and not face_begin:
            _check_gap(data[end : part.start()], b"," if faces else b"", len(faces))
            face_begin, face_parts = part.start(), 0
        elif depth == 1 and text == b"]" and not face_begin and part.start() >= begin + 1:
            _check_gap(data[end : part.start()], b"", len(faces))
            return _Spans(faces, begin, part.end())
        elif face_begin and depth == _FACE_DEPTH - 1:
            faces.append((face_begin, part.end()))
            face_begin, end = 0, part.end()
            _check("faces", len(faces), MAX_TEMPLATES, "templates")
        elif not face_begin and not (text == b"[" and part.start() == begin):
            _check_gap(text, b"", len(faces))
        if face_begin:
            _check(f"faces[{len(faces)}]", part.end() - face_begin, MAX_FACE_BYTES, "bytes")
            _check(f"faces[{len(faces)}]", face_parts, MAX_FACE_PARTS, "texts and brackets")
            _check(f"faces[{len(faces)}]", depth, MAX_DEPTH, "levels")
    raise InvalidParameter("faces: the list does not end.", field="faces")


def _is_faces(text: bytes) -> bool:
    try:
        return bool(json.loads(text) == "faces")
    except ValueError:
        return False


def _check_gap(gap: bytes, expected: bytes, index: int) -> None:
    if gap.strip(_SPACE) != expected:
        raise InvalidParameter(
            f"faces[{index}]: must be an object, after a comma unless it is the first.", field="faces"
        )


def _check(what: str, value: int, limit: int, unit: str) -> None:
    if value > limit:
        raise InvalidParameter(
            f"{what}: has more than {limit} {unit}, which is the limit.", field=what.split("[", maxsplit=1)[0]
        )
