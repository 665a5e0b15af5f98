"""Parse a multipart form while it arrives, in memory, and tell its files from its text fields.

The content type of a part is not trusted: clients label photos `text/plain`, `*/*` or not at all, and the decoder
determines the real format. A part is a file if its field takes images or if it looks like a file.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import RequestRefused, TooManyImages

MAX_TEXT_BYTES = 64 * 1024
"""Of one text field."""

_MAX_FIELDS = 20
_BINARY_TYPES = (b"image/", b"application/octet-stream", b"binary/octet-stream")
_EXAMINED_BYTES = 256


@dataclass(slots=True)
class FormPart:
    """One part of a form. A part of an image field is a file, with or without a filename."""

    name: str
    has_filename: bool
    is_file: bool
    size: int = 0
    chunks: list[bytes] = field(default_factory=list, repr=False)

    @property
    def is_omitted(self) -> bool:
        """Whether this is how forms send a field for which no file was chosen."""
        return not self.size and not self.has_filename

    def take_data(self) -> bytes:
        """Return the part's bytes, and keep no second copy of them."""
        data = b"".join(self.chunks)
        self.chunks.clear()
        return data


class FormReader:
    """Collects the parts of one form; raises `TooManyImages`, or `RequestRefused` for a malformed body or long text."""

    def __init__(
        self,
        content_type: str,
        *,
        image_fields: Collection[str],
        max_files: int,
        max_urls: int = 0,
        check_name: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Take the request's content type, and the fields whose parts are files in any case.

        `max_urls` text fields are allowed in addition to the usual ones, where a field takes several URLs.
        `check_name` receives the name of each part that is not empty, before its data, and may raise.
        """
        self._image_fields = image_fields
        self._check_name = check_name
        self._max_files = max_files
        self._max_fields = _MAX_FIELDS + max_urls
        self._parts = list[FormPart]()
        self._headers = dict[bytes, bytes]()
        self._header_name, self._header_value = bytearray(), bytearray()
        self._has_begun = self._is_complete = False
        self._boundary = _read_boundary(content_type)
        self._parser = self._new_parser()

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            reason = str(exc) if self._has_begun else "it does not begin with the boundary of the content type"
            raise RequestRefused(f"The multipart body is malformed: {reason}.") from exc

    def finish(self) -> list[FormPart]:
        """Return all parts in order; raises `RequestRefused` if the body ends before its last boundary."""
        if not self._is_complete:
            raise RequestRefused(
                f"The multipart body ends before its last boundary, --{decode_text(self._boundary)}--. "
                "Send the whole body, and this line at its end."
            )
        return self._parts

    @property
    def last_part(self) -> FormPart | None:
        """The part that arrives, or that arrived last."""
        return self._parts[-1] if self._parts else None

    @property
    def is_complete(self) -> bool:
        """Whether the last boundary was read."""
        return self._is_complete

    def text_parts(self) -> list[FormPart]:
        """Return the parts that are no files."""
        return [part for part in self._parts if not part.is_file]

    def _new_parser(self) -> MultipartParser:
        try:
            return MultipartParser(
                self._boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as exc:
            raise RequestRefused(f"The multipart body is malformed: {exc}.") from exc

    def _begin_part(self) -> None:
        self._has_begun = True
        self._headers.clear()

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise RequestRefused(
                f"Part {len(self._parts) + 1} of the multipart body has no name: its header Content-Disposition must "
                'be form-data; name="...".'
            )
        name, content_type = decode_text(options[b"name"]), self._headers.get(b"content-type", b"").strip().lower()
        # The parser ignores `filename*`: RFC 7578 forbids it, but clients send it.
        has_extended = b"filename*" in disposition.lower()
        is_named = b"filename" in options or has_extended
        is_file = name in self._image_fields or is_named or content_type.startswith(_BINARY_TYPES)
        self._parts.append(FormPart(name, bool(options.get(b"filename")) or has_extended, is_file))
        self._check_numbers()

    def _check_numbers(self) -> None:
        files = sum(part.is_file for part in self._parts)
        if files > self._max_files:
            raise TooManyImages(
                f"The request contains more than {self._max_files} images; at most {self._max_files - 1} are allowed "
                "per call.",
                field=self._parts[-1].name[:64],
            )
        if len(self._parts) - files > self._max_fields:
            raise RequestRefused(f"The form has more than {self._max_fields} text fields.")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if not part.size:
            self._check_name(part.name)
        part.size += end - start
        if not part.is_file and part.size > MAX_TEXT_BYTES:
            name = part.name[:64]
            photos = " and ".join(f"`{image_field}`" for image_field in self._image_fields)
            raise RequestRefused(
                f"{name}: the text has more than {MAX_TEXT_BYTES} bytes. This route takes files in {photos}.",
                field=name,
            )
        part.chunks.append(data[start:end])

    def _end(self) -> None:
        self._is_complete = True


def _read_boundary(content_type: str) -> bytes:
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise RequestRefused(
            "The content type multipart/form-data names no boundary. Let the HTTP client write this header."
        )
    return boundary


def holds_text(data: bytes) -> bool:
    """Return whether the bytes begin with printable text, as no image does."""
    head = data[:_EXAMINED_BYTES]
    text = head.decode("utf-8", "ignore")
    # The last of the examined characters may be incomplete.
    return len(head) - len(text.encode()) < 4 and all(sign.isprintable() or sign.isspace() for sign in text)


def decode_text(raw: bytes) -> str:
    """Decode UTF-8, or Latin-1 if it is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
