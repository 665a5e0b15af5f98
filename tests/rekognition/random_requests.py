"""Random requests of the protocol, drawn from the shapes of botocore's service model, and what an answer must be.

Where something of a prepared tenant stands, or something long, a request holds a mark such as `<face:kept-0>` or
`<picture:one>`; it is filled in when the request is sent. So an example is short, and the same in every run.
"""

import base64
import binascii
import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import regex
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from PIL import Image

from app.rekognition import MAX_BODY_BYTES, MAX_IMAGE_BYTES, MAX_PLAIN_BYTES
from app.rekognition.operations import OPERATIONS
from tests import pictures

MODEL = ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")
SUPPORTED = tuple(OPERATIONS)
UNSUPPORTED = tuple(sorted(set(MODEL.operation_names) - set(SUPPORTED)))
_CREATING = {"CreateCollection": "CollectionId", "CreateUser": "UserId"}
DESTROYING = frozenset({"DeleteCollection", "DeleteFaces", "DeleteUser"})
"""These are never asked to work on what the other operations need."""

COLLECTIONS = ("kept", "doomed")
FACES, USERS = 3, 3
"""Of each of the two collections. Its first user has the first face, and nobody the others."""
TOKENS = ("faces", "users", "collections")
ARNS = ("kept", "kept-short", "doomed", "stranger", "gone")

_PREFIX = MODEL.metadata["targetPrefix"]
_ERRORS = frozenset(
    {shape.name for shape in MODEL.error_shapes}
    | {"SerializationException", "UnknownOperationException", "ThrottlingException", "RequestTimeoutException"}
)
_OF_SIGNATURES = frozenset({"IncompleteSignatureException", "MissingAuthenticationTokenException"})
_WIDER_PATTERNS = {"UserId": r"[\w.\-:@+]+"}
"""The documented deviation: a subject's id may hold more than a user's."""
_MAY_BE_EMPTY = (".DeletedFaces",)
"""It has the shape of a parameter that names at least one; where none was deleted, none is named."""

Json = Any
Shape = Any


@dataclass(frozen=True)
class Request:
    """One request, with its marks; `target` is the header that names the operation, None to leave it out."""

    target: str | None
    text: str
    encoding: str = "utf-8"
    path: str = "/rekognition"

    @property
    def operation(self) -> str | None:
        """The operation it asks for, if that is one that is answered."""
        prefix, _, name = (self.target or "").partition(".")
        return name if prefix == _PREFIX and name in SUPPORTED else None

    def body(self, known: Mapping[str, str]) -> bytes:
        """The bytes to send; a mark of nothing that is known stays."""

        def fill(found: re.Match[str]) -> str:
            raw, kind = found["raw"], found["kind"]
            if raw is not None:
                return _RAW.get(raw, found[0])
            if kind == "picture":
                return _encoded_pictures().get(found["name"], found[0])
            return known.get(f"{kind}:{found['name']}", found[0])

        return _MARK.sub(fill, self.text).encode(self.encoding, "surrogatepass")


# --- what marks stand for ---------------------------------------------------------------------------------------------

_MARK = re.compile(r'"<raw:(?P<raw>[a-z-]+)>"|<(?P<kind>[a-z]+):(?P<name>[a-z0-9-]+)>')

_RAW = {
    "many-digits": "9" * 400,
    "too-many-digits": "9" * 5_000,
    "too-large": "1e999",
    "too-low": "-1e999",
    "too-small": "1e-999",
    "minus-zero": "-0",
    "no-number": "01",
    "deep": "[" * 900 + "]" * 900,
    "too-deep": "[" * 100_000 + "]" * 100_000,
    "deep-objects": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "endless": "[" * 200_000,
    "long": json.dumps("x" * 100_000),
    "half-escape": '"\\ud8"',
    "control": '"\t"',
}
"""JSON that `json.dumps` does not write."""


@cache
def _encoded_pictures() -> dict[str, str]:
    return {name: base64.b64encode(picture).decode() for name, picture in _pictures().items()}


def _pictures() -> dict[str, bytes]:
    one, many = pictures.photo(1), pictures.group(1, 2)
    dot = Image.new("RGB", (1, 1))
    return {
        "one": one,
        "another": pictures.photo(2, take=3),
        "two": many,
        "three": pictures.group(1, 2, 3),
        "small-png": pictures.encode(pictures.portrait(1, side=160), "PNG"),
        "webp": pictures.encode(pictures.portrait(2, side=160), "WEBP"),
        "transparent": pictures.encode(pictures.portrait(1, side=160).convert("RGBA"), "PNG"),
        "gray": pictures.encode(pictures.portrait(1, side=160).convert("L"), "PNG"),
        "turned": pictures.encode(pictures.portrait(1, side=160).rotate(90), "PNG"),
        "small-face": pictures.small(1),
        "blurred": pictures.blurred(1),
        "dark": pictures.dark(1),
        "landscape": pictures.landscape(),
        "dot-png": pictures.encode(dot, "PNG"),
        "dot-jpeg": pictures.encode(dot),
        "line": pictures.encode(Image.new("RGB", (2_000, 1)), "PNG"),
        "one-bit": pictures.encode(dot.convert("1"), "PNG"),
        "palette": pictures.encode(dot.convert("P"), "PNG"),
        "deep-gray": pictures.encode(Image.new("I;16", (8, 8)), "PNG"),
        "print": pictures.encode(dot.convert("CMYK")),
        "gif": pictures.encode(dot, "GIF"),
        "bmp": pictures.encode(dot, "BMP"),
        "tiff": pictures.encode(dot, "TIFF"),
        "animation": pictures.animation("WEBP"),
        "bomb": pictures.bomb(),
        "cut": many[: len(many) // 2],
        "head": one[:4],
        "damaged": one[:600] + bytes(200) + one[800:],
        "followed": one + b"\0" * 100,
        "text": b"no picture",
        "zero": b"\0",
        "zeros": bytes(1_000),
        "vector": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "most": one + bytes(MAX_IMAGE_BYTES - len(one)),
        "too-long": one + bytes(MAX_IMAGE_BYTES - len(one) + 1),
        "beyond-body": bytes(MAX_BODY_BYTES * 3 // 4 + 3),
    }


_GOOD_PICTURES = ("one", "one", "two", "two", "another", "three", "small-png", "webp")
_ODD_PICTURES = (
    "transparent",
    "gray",
    "turned",
    "small-face",
    "blurred",
    "dark",
    "landscape",
    "dot-png",
    "dot-jpeg",
    "line",
    "one-bit",
    "palette",
    "deep-gray",
    "print",
    "gif",
    "bmp",
    "tiff",
    "animation",
    "bomb",
    "cut",
    "head",
    "damaged",
    "followed",
    "text",
    "zero",
    "zeros",
    "vector",
)
_LARGE_PICTURES = ("most", "too-long", "beyond-body")
_BAD_BASE64 = (
    "",
    "=",
    "====",
    "A",
    "AA",
    "AAA",
    "AA==",
    "AA=",
    "AAAA=",
    "AA==AA==",
    "AAAA\n",
    " AAAA",
    "A AAA",
    "_-8=",
    "####",
    "\u00e9\u00e9\u00e9\u00e9",
    "AA\ud800=",
    "<picture:one>\n",
    "<picture:one>=",
    "=<picture:one>",
)

# --- values that a shape allows ---------------------------------------------------------------------------------------


def _mostly(often: SearchStrategy[Any], else_: SearchStrategy[Any], *, percent: int) -> SearchStrategy[Any]:
    return st.integers(0, 99).flatmap(lambda chance: often if chance < percent else else_)


@cache
def _picture_marks() -> SearchStrategy[str]:
    rare = _mostly(st.sampled_from(_ODD_PICTURES), st.sampled_from(_LARGE_PICTURES), percent=98)
    return _mostly(st.sampled_from(_GOOD_PICTURES), rare, percent=65).map(lambda name: f"<picture:{name}>")


@cache
def _marks() -> dict[str, tuple[list[str], int]]:
    """By the name of a shape: what there really is, and how often to take it, in percent."""
    return {
        "CollectionId": ([f"<collection:{name}>" for name in COLLECTIONS], 85),
        "FaceId": ([f"<face:{name}-{index}>" for name in COLLECTIONS for index in range(FACES)], 85),
        "UserId": ([f"<user:{name}-{which}>" for name in COLLECTIONS for which in (*range(USERS), "nobody")], 75),
        "ResourceArn": ([f"<arn:{name}>" for name in ARNS], 90),
        "PaginationToken": ([f"<token:{name}>" for name in TOKENS], 80),
        "ClientRequestToken": (["again", "once-more", "A_1"], 40),
    }


@cache
def allowed(operation: str) -> SearchStrategy[dict[str, Json]]:
    """Parameters that the model allows for an operation."""
    made: SearchStrategy[dict[str, Json]] = _allowed(_input_of(operation))
    return made


def _allowed(shape: Shape) -> SearchStrategy[Any]:
    if shape.name == "Image":
        return _images(shape)
    real, percent = _marks().get(shape.name, ([], 0))
    made = _MAKERS[shape.type_name](shape)
    return _mostly(st.sampled_from(real), made, percent=percent) if real else made


def _images(shape: Shape) -> SearchStrategy[Any]:
    stored = _allowed(shape.members["S3Object"])
    sent = st.builds(lambda picture: {"Bytes": picture}, _picture_marks())
    both = st.builds(lambda picture, place: {"Bytes": picture, "S3Object": place}, _picture_marks(), stored)
    other = st.one_of(stored.map(lambda place: {"S3Object": place}), both, st.just({}))
    return _mostly(sent, other, percent=92)


def _structures(shape: Shape) -> SearchStrategy[Any]:
    members = {name: _allowed(member) for name, member in shape.members.items()}
    required = {name: members.pop(name) for name in shape.required_members}
    return st.fixed_dictionaries(required, optional=members)


def _lists(shape: Shape) -> SearchStrategy[Any]:
    least = shape.metadata.get("min", 0)
    return st.lists(_allowed(shape.member), min_size=least, max_size=least + 4)


def _maps(shape: Shape) -> SearchStrategy[Any]:
    return st.dictionaries(_allowed(shape.key), _allowed(shape.value), max_size=4)


def _strings(shape: Shape) -> SearchStrategy[str]:
    if shape.enum:
        return st.sampled_from(shape.enum)
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 64)
    pattern = shape.metadata.get("pattern")
    if pattern is None:
        return st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=least, max_size=min(most, 64))
    for category, characters in _CATEGORIES.items():
        pattern = pattern.replace(category, characters)
    drawn = st.from_regex(pattern, fullmatch=True).filter(lambda text: least <= len(text) <= most)
    longest = drawn.map(lambda text: (text * most)[:most] if "-]{" not in pattern and text else text)
    return _mostly(drawn, longest, percent=90) if "max" in shape.metadata else drawn


_CATEGORIES = {
    "\\p{L}": "A-Za-z\u00c0-\u00d6\u03b1-\u03c9\u4e00-\u4e20",
    "\\p{Z}": " \u00a0\u3000",
    "\\p{N}": "0-9\u0661\u00b2",
}
"""A few of Unicode's, since `re` knows none by these names."""


def _integers(shape: Shape) -> SearchStrategy[int]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    few = st.integers(least or 0, min(5, most or 5))
    return st.one_of(few, st.integers(least, most), st.just(most if most is not None else 2**31 - 1))


def _floats(shape: Shape) -> SearchStrategy[float]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 100)
    return st.one_of(
        st.floats(least, most), st.integers(least, most), st.sampled_from([least, most, 5e-324, 99.9999999])
    )


_MAKERS: dict[str, Callable[[Shape], SearchStrategy[Any]]] = {
    "structure": _structures,
    "list": _lists,
    "map": _maps,
    "string": _strings,
    "integer": _integers,
    "long": _integers,
    "float": _floats,
    "double": _floats,
    "boolean": lambda _: st.booleans(),
    "blob": lambda _: _picture_marks(),
}


def _input_of(operation: str) -> Shape:
    return MODEL.operation_model(operation).input_shape


# --- damage -----------------------------------------------------------------------------------------------------------

_HOSTILE: tuple[Json, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    101,
    4_097,
    2**31,
    2**63,
    -(2**63) - 1,
    10**40,
    0.5,
    -0.0,
    1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    "",
    " ",
    "x",
    "0",
    "true",
    "null",
    "\0",
    "a\0b",
    "a\n",
    "\ud800",
    "\udfff\ud800",
    "\u00e9",
    "\U0001f600",
    "\u202e",
    "../../etc/passwd",
    "%00",
    "' OR 1=1 --",
    "${jndi:x}",
    ".",
    "..",
    "x" * 300,
    "x" * 3_000,
    [],
    [[]],
    [None],
    {},
    {"": {}},
    {"Bytes": "AA=="},
    [{}],
    *(f"<raw:{name}>" for name in _RAW),
    "<face:kept-0>",
    "<user:kept-0>",
    "<arn:kept>",
    "<token:faces>",
    "<picture:one>",
    "<collection:kept>",
)
_TAILS = ("\n", "\0", " ", "/", "\ud800", "\u00e9", "@", "+", "\u0661", "%", "\U0001f600", "\r\nX: y")

_any_json = st.recursive(
    st.one_of(st.sampled_from(_HOSTILE), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)


@dataclass(frozen=True)
class _Place:
    holder: Any
    key: Any
    shape: Shape


def _places(shape: Shape, value: Json) -> Iterator[_Place]:
    """Every value below this one that still has the type of its shape."""
    if shape.type_name == "structure" and isinstance(value, dict):
        inner = [(name, shape.members[name]) for name in value if name in shape.members]
    elif shape.type_name == "list" and isinstance(value, list):
        inner = [(index, shape.member) for index in range(len(value))]
    elif shape.type_name == "map" and isinstance(value, dict):
        inner = [(key, shape.value) for key in value]
    else:
        return
    for key, member in inner:
        yield _Place(value, key, member)
        yield from _places(member, value[key])


def _damage(draw: DrawFn, operation: str, whole: dict[str, Json]) -> None:
    """Change one value, somewhere in the parameters, into one that is often not allowed."""
    places = list(_places(_input_of(operation), whole))
    kind = draw(st.sampled_from(["hostile", "limit", "drop", "unknown", "json", "limit"]))
    if kind == "unknown" or not places:
        holders: list[dict[str, Json]] = [
            whole,
            *(p.holder[p.key] for p in places if isinstance(p.holder[p.key], dict)),
        ]
        name = draw(
            st.sampled_from(["Unknown", "", "__type", "collectionId", "\ud800", "x" * 300]) | st.text(max_size=8)
        )
        draw(st.sampled_from(holders))[name] = copy.deepcopy(draw(_any_json))
        return
    place = draw(st.sampled_from(places))
    if kind == "drop":
        del place.holder[place.key]
    elif kind == "limit":
        _put_at_limit(draw, place)
    else:
        made = draw(st.sampled_from(_HOSTILE) if kind == "hostile" else _any_json)
        place.holder[place.key] = copy.deepcopy(made)


def _put_at_limit(draw: DrawFn, place: _Place) -> None:
    shape, value = place.shape, place.holder[place.key]
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 300)
    made: list[Json]
    if shape.type_name == "string":
        made = ["a" * (least - 1) if least else "", "a" * most, "a" * (most + 1), "a", str(value).upper()]
        made += [str(value) + tail for tail in _TAILS] + [tail + str(value) for tail in _TAILS]
        made += [str(value).replace("-", ""), "00000000-0000-0000-0000-000000000000", "-a", ".a", ":a", "_"]
    elif shape.type_name in ("integer", "long"):
        made = [least - 1, least, most, most + 1, 2**31, 2**63, -(2**63), float(least), str(least), True]
    elif shape.type_name in ("float", "double"):
        made = [least, least - 1e-9, most, most + 1e-9, "1", math.nan, math.inf, 10**40, True]
    elif shape.type_name == "list":
        items = value if isinstance(value, list) and value else ["x"]
        made = [[], items[:1] * most, items[:1] * (most + 1), items * 2, items[0], {"0": items[0]}]
    elif shape.type_name == "map":
        made = [{f"k{index}": "v" for index in range(count)} for count in (0, 1, most, most + 1)]
        made += [
            {"": ""},
            {"aws:a": "b"},
            {"a" * 129: ""},
            {"a": "b" * 257},
            {"\ud800": "x"},
            {"a\0": "b"},
            [["a", "b"]],
        ]
    elif shape.type_name == "blob":
        made = list(_BAD_BASE64)
    else:
        made = [{}, [], [value], {"Unknown": 1, **value} if isinstance(value, dict) else {}]
    place.holder[place.key] = copy.deepcopy(draw(st.sampled_from(made)))


# --- whole requests ---------------------------------------------------------------------------------------------------

_NO_PARAMETERS = (
    "",
    " ",
    "\n",
    "null",
    "true",
    "1",
    "-",
    "NaN",
    "[]",
    "[{}]",
    '"x"',
    '""',
    "{",
    "}",
    "{}",
    "{}{}",
    "{} x",
    '{"a":',
    "{'a': 1}",
    '{"a": 1,}',
    '{"a" 1}',
    "\ufeff{}",
    "\0",
    "{}\0",
    '"<raw:too-deep>"',
    '"<raw:deep-objects>"',
    '"<raw:endless>"',
    '{"a": "<raw:deep>"}',
    '{"a": "<raw:too-deep>"}',
    '"<raw:too-many-digits>"',
    '{"a": "<raw:too-many-digits>"}',
    "<?xml version='1.0'?><a/>",
    "Action=ListCollections",
    '{"CollectionId": "<raw:half-escape>"}',
)
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")
_NO_TARGETS = (
    None,
    "",
    ".",
    "..",
    _PREFIX,
    f"{_PREFIX}.",
    f".{SUPPORTED[0]}",
    f"{_PREFIX}.Nonsense",
    f"{_PREFIX}.listcollections",
    f"{_PREFIX.lower()}.ListCollections",
    f"{_PREFIX}.ListCollections.ListCollections",
    f"{_PREFIX}. ListCollections",
    "DynamoDB_20120810.ListTables",
    "ListCollections",
    f"{_PREFIX}/ListCollections",
    f"{_PREFIX}.__init__",
    f"{_PREFIX}.{'x' * 5_000}",
    f"{_PREFIX}.Compar\u00e9Faces",
    "\u00ff",
)


@st.composite
def requests(draw: DrawFn) -> Request:
    """Requests: three fifths as the model allows them, the others damaged in one way or another."""
    operation = draw(st.sampled_from(SUPPORTED))
    chance = draw(st.integers(0, 99))
    target: str | None = f"{_PREFIX}.{operation}"
    if chance >= 95:
        unsupported = st.sampled_from(UNSUPPORTED).map(lambda name: f"{_PREFIX}.{name}")
        target = draw(st.one_of(unsupported, st.sampled_from(_NO_TARGETS)))
    path = draw(_mostly(st.just("/rekognition"), st.just("/rekognition/"), percent=90))
    if 88 <= chance < 95:
        return Request(target, *draw(_odd_bodies(operation)), path)
    parameters = copy.deepcopy(draw(allowed(operation)))
    if operation in _CREATING and draw(st.booleans()):
        member = _CREATING[operation]
        parameters[member] = draw(_strings(_input_of(operation).members[member]))  # most likely not there yet
    if operation == "SearchUsers" and draw(st.integers(0, 2)):
        parameters.pop(draw(st.sampled_from(["FaceId", "UserId"])), None)  # it wants exactly one of them
    for _ in range(0 if chance < 60 else 1 if chance < 82 else 3):
        _damage(draw, operation, parameters)
    text = _dumps(operation, parameters, ascii_only=draw(st.booleans()))
    if draw(st.integers(0, 2)):
        home = "doomed" if operation in DESTROYING else "kept"
        text = re.sub(":(kept|doomed)", f":{home}", text)  # so that the faces and users are those of the collection
    return Request(target, text, "utf-8", path)


@st.composite
def _odd_bodies(draw: DrawFn, operation: str) -> tuple[str, str]:
    """Text and its encoding."""
    kind = draw(st.sampled_from(["fixed", "bytes", "cut", "encoding", "twice", "json"]))
    if kind == "fixed":
        return draw(st.sampled_from(_NO_PARAMETERS)), "utf-8"
    if kind == "bytes":
        return draw(st.binary(max_size=40)).decode("latin-1"), "latin-1"
    if kind == "json":
        return json.dumps(draw(_any_json)), "utf-8"
    text = _dumps(operation, draw(allowed(operation)), ascii_only=True)
    if kind == "cut":
        return text[: draw(st.integers(0, len(text) - 1))], "utf-8"
    if kind == "twice":
        return '{"CollectionId": 1, "Image": null, ' + text[1:], "utf-8"
    return text, draw(st.sampled_from(_ENCODINGS))


def _dumps(operation: str, parameters: dict[str, Json], *, ascii_only: bool) -> str:
    text = json.dumps(parameters, ensure_ascii=ascii_only)
    return text.replace(":kept", ":doomed") if operation in DESTROYING else text


# --- what an answer must be -------------------------------------------------------------------------------------------


def find_faults(request: Request, sent: bytes, answer: httpx.Response) -> list[str]:
    """What is wrong with an answer to a request; empty if nothing is."""
    found = []
    if not answer.headers.get("x-amzn-requestid"):
        found.append("no x-amzn-requestid")
    if answer.headers.get("content-type") != "application/x-amz-json-1.1":
        found.append(f"content-type {answer.headers.get('content-type')!r}")
    try:
        body = json.loads(answer.content, parse_constant=_refuse_constant)
    except ValueError as exc:
        return [*found, f"the body is not JSON: {exc}"]
    if not isinstance(body, dict):
        return [*found, "the body is not an object"]
    if answer.status_code == 200:
        return found + _faults_of_success(request, sent, body)
    return found + _faults_of_error(request, len(sent), answer, body)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _faults_of_success(request: Request, sent: bytes, body: dict[str, Json]) -> list[str]:
    if request.operation is None:
        return [f"{request.target!r} is answered"]
    model = MODEL.operation_model(request.operation)
    found = list(faults_of(model.output_shape, body, request.operation, is_answer=True))
    given = parse(sent)
    if given is None:
        return [*found, "a request that is no JSON object is answered"]
    return found + [f"taken: {fault}" for fault in faults_of(model.input_shape, given, "request", is_answer=False)]


def _faults_of_error(request: Request, size: int, answer: httpx.Response, body: dict[str, Json]) -> list[str]:
    found = []
    code, message = body.get("__type"), body.get("message")
    if answer.status_code != 400:
        found.append(f"status {answer.status_code}")
    expected = _ERRORS | _OF_SIGNATURES if not request.target else _ERRORS - {"InternalServerError"}
    if code not in expected:
        found.append(f"__type {code!r}")
    if answer.headers.get("x-amzn-errortype") != code:
        found.append(f"x-amzn-errortype {answer.headers.get('x-amzn-errortype')!r}")
    if not isinstance(message, str) or not message.strip():
        found.append(f"message {message!r}")
    is_looked_at = size <= MAX_PLAIN_BYTES  # before that, nobody asks for the operation
    if request.operation is None and is_looked_at and code not in {"UnknownOperationException", *_OF_SIGNATURES}:
        found.append(f"{code} for {request.target!r}")
    return found


def parse(sent: bytes) -> dict[str, Json] | None:
    """The parameters of a request; None where they are no JSON object."""
    try:
        given = json.loads(sent) if sent else {}
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def faults_of(shape: Shape, value: Json, path: str, *, is_answer: bool) -> Iterator[str]:
    """Where a value is not what the model says.

    A request may hold members that are unknown and null for those that are not required; an answer may not.
    """
    if not isinstance(value, _TYPES[shape.type_name]) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{path}: {type(value).__name__} is no {shape.type_name}"
        return
    yield from _CHECKS[shape.type_name](shape, value, path, is_answer)


def _faults_of_structure(shape: Shape, value: Json, path: str, is_answer: bool) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"{path}.{name} is missing"
    for name, item in value.items():
        if name in shape.members and (item is not None or is_answer):
            yield from faults_of(shape.members[name], item, f"{path}.{name}", is_answer=is_answer)
        elif is_answer:
            yield f"{path}.{name!r} is unknown"


def _faults_of_list(shape: Shape, value: Json, path: str, is_answer: bool) -> Iterator[str]:
    if value or not (is_answer and path.endswith(_MAY_BE_EMPTY)):
        yield from _out_of_range(shape, len(value), path)
    for index, item in enumerate(value):
        yield from faults_of(shape.member, item, f"{path}[{index}]", is_answer=is_answer)


def _faults_of_map(shape: Shape, value: Json, path: str, is_answer: bool) -> Iterator[str]:
    yield from _out_of_range(shape, len(value), path)
    for key, item in value.items():
        yield from faults_of(shape.key, key, f"{path} (key)", is_answer=is_answer)
        yield from faults_of(shape.value, item, f"{path}.{key[:20]!r}", is_answer=is_answer)


def _faults_of_string(shape: Shape, value: Json, path: str, _: bool) -> Iterator[str]:
    yield from _out_of_range(shape, len(value), path)
    if shape.enum and value not in shape.enum:
        yield f"{path}: {value!r} is not in the enumeration"
    pattern = _WIDER_PATTERNS.get(shape.name) or shape.metadata.get("pattern")
    if pattern and not regex.fullmatch(pattern, value):
        yield f"{path}: {value[:80]!r} does not match {pattern}"


def _faults_of_number(shape: Shape, value: Json, path: str, _: bool) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: {value} is not finite"
    yield from _out_of_range(shape, value, path)


def _faults_of_blob(shape: Shape, value: Json, path: str, _: bool) -> Iterator[str]:
    try:
        yield from _out_of_range(shape, len(base64.b64decode(value, validate=True)), path)
    except (binascii.Error, ValueError):
        yield f"{path}: is not base64"


def _out_of_range(shape: Shape, value: float, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and not value >= least) or (most is not None and not value <= most):
        yield f"{path}: {str(value)[:40]} is not in {least}..{most}"


_TYPES: dict[str, Any] = {
    "structure": dict,
    "list": list,
    "map": dict,
    "string": str,
    "integer": int,
    "long": int,
    "float": int | float,
    "double": int | float,
    "timestamp": int | float,
    "boolean": bool,
    "blob": str,
}
_CHECKS: dict[str, Any] = {
    "structure": _faults_of_structure,
    "list": _faults_of_list,
    "map": _faults_of_map,
    "string": _faults_of_string,
    **dict.fromkeys(("integer", "long", "float", "double", "timestamp"), _faults_of_number),
    "boolean": lambda *_: iter(()),
    "blob": _faults_of_blob,
}
