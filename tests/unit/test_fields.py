"""What a field of a request may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.schemas.fields import CollectionName, DisplayName, Email, SubjectId, parse_metadata


@pytest.mark.parametrize("value", ["default", "A-1_b.c", "-x", "_", "a" * 255])
def test_collection_names(value: str) -> None:
    assert TypeAdapter(CollectionName).validate_python(value) == value


@pytest.mark.parametrize("value", ["", ".", "..", ".hidden", "a b", "a/b", "é", "a" * 256, "a\n", "a\0"])
def test_bad_collection_names(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(CollectionName).validate_python(value)


@pytest.mark.parametrize("value", ["emp-1042", "-a", "..a", "...", "ada@example.com", "é1", "7", "a:b+c.d", "x" * 128])
def test_subject_ids(value: str) -> None:
    assert TypeAdapter(SubjectId).validate_python(value) == value


@pytest.mark.parametrize("value", ["", ".", "..", "a b", "a/b", "a?b", "x" * 129, "a\0", "a\n"])
def test_bad_subject_ids(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SubjectId).validate_python(value)


@pytest.mark.parametrize("value", ["\0", "a\nb", "  ", "x" * 201, "\x1b[2J"])
def test_bad_names(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DisplayName).validate_python(value)


def test_emails_are_lowered() -> None:
    assert TypeAdapter(Email).validate_python(" Ada@Example.COM ") == "ada@example.com"


@pytest.mark.parametrize("value", ["ada", "@", "a@b@c", "a b@c", "a\0@b", "a@" + "b" * 300])
def test_bad_emails(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("7", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "beyond the range"),
        ('{"a": "\\u0000"}', "NUL character or an unpaired surrogate"),
        ('{"\\u0000": 1}', "NUL character or an unpaired surrogate"),
        ('{"a": "\\ud800"}', "NUL character or an unpaired surrogate"),
        ('{"a": ' + "[" * 20 + "]" * 20 + "}", "nested deeper"),
        ("[" * 15_000, "JSON|nested"),
        ('{"a": ' + "9" * 309 + "}", "beyond the range"),
        ('{"a": ' + "9" * 10_000 + "}", "digits"),
        ('{"a": "' + "x" * 17_000 + '"}', "17009 bytes long; at most 16384 are allowed"),
    ],
)
def test_bad_metadata_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_metadata(text)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
numbers = st.integers(-(10**50), 10**50) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b"]), json_values, max_size=2))
def test_good_metadata_passes_unchanged(value: dict[str, Any]) -> None:
    import json

    assert parse_metadata(json.dumps(value)) == value
