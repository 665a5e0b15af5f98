"""The rules for texts: what the OpenAPI document's patterns allow is what the API accepts, character by character."""

import re
import unicodedata
from datetime import date
from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter, ValidationError

from app.domain.text import CONTROL, INVISIBLE, JOINERS, SPACE, has_invisible
from app.schemas import fields, text_rules
from app.schemas.text_rules import TextRule

RULES = {name: rule for name, rule in vars(text_rules).items() if isinstance(rule, TextRule)}
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def in_class(characters: str) -> set[str]:
    return set(re.findall(f"[{characters}]", "".join(CHARACTERS)))


def test_the_classes_are_those_of_unicode() -> None:
    by_category = {
        category: {one for one in CHARACTERS if unicodedata.category(one) == category} for category in ("Cc", "Cf")
    }
    assert in_class(CONTROL) == by_category["Cc"]
    invisible = in_class(INVISIBLE)
    assert by_category["Cf"] <= invisible | in_class(JOINERS)
    assert not {one for one in invisible if one.isalnum()} - set("\u115f\u1160\u3164\uffa0")  # letters without a glyph
    assert in_class(SPACE) == {one for one in CHARACTERS if one.isspace()} - set("\x1c\x1d\x1e\x1f")


def test_joiners_are_visible_in_names_only() -> None:
    assert has_invisible("a\u200db")
    assert not has_invisible("a\u200db", allow_joiners=True)
    assert not has_invisible("Zoë 人 👩 #1")


@pytest.mark.parametrize("name", RULES)
def test_other_engines_read_the_patterns_alike(name: str) -> None:
    rule = RULES[name]
    other = jsonschema_rs.validator_for({"type": "string", "pattern": rule.document_pattern})
    for before, after in (("", ""), ("a", ""), ("a@", ".org"), ("x", "9"), (" ", " "), ("2027-12-31", "")):
        for one in (
            CHARACTERS[:0x3100] + CHARACTERS[0xA000:0xA010] + CHARACTERS[0xD7F0:0xD800] + CHARACTERS[0xF000:0x10010]
        ):
            text = before + one + after
            assert other.is_valid(text) == (rule._compiled.fullmatch(text) is not None), ascii(text)


@pytest.mark.parametrize("name", RULES)
def test_no_half_of_a_character_is_text(name: str) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        RULES[name].check("a\ud800")


ACCEPTED: list[tuple[Any, object, object]] = [
    (fields.SubjectId, "emp-1042", "emp-1042"),
    (fields.SubjectId, "...", "..."),
    (fields.SubjectId, ".a@b+c:_", ".a@b+c:_"),
    (fields.SubjectId, "Jose\u0301", "José"),
    (fields.SubjectId, "a" * 128, "a" * 128),
    (fields.CollectionName, "-a.b", "-a.b"),
    (fields.CollectionName, "a" * 255, "a" * 255),
    (fields.DisplayName, " Ada\n", "Ada"),
    (fields.DisplayName, "نیما\u200cفر", "نیما\u200cفر"),
    (fields.Email, " Ada@Example.com ", "ada@example.com"),
    (fields.NewPassword, "a" * 10, "a" * 10),
    (fields.Label, " a ", " a "),
    (fields.Day, "2027-02-28", date(2027, 2, 28)),
    (fields.Day, date(2027, 2, 28), date(2027, 2, 28)),
]


@pytest.mark.parametrize(("kind", "sent", "read"), ACCEPTED)
def test_a_text_within_its_limits_is_accepted(kind: Any, sent: object, read: object) -> None:
    assert TypeAdapter(kind).validate_python(sent) == read


REFUSED: list[tuple[Any, object]] = [
    *(
        (fields.SubjectId, value)
        for value in ("", ".", "..", "@a", "+a", "a b", "a/b", "a\u00a0b", "a\u200db", "a" * 129, 7)
    ),
    *((fields.CollectionName, value) for value in ("", ".a", "a b", "é", "a\n", "a" * 256)),
    *((fields.DisplayName, value) for value in ("", " \n", "a\0b", "a\tb", "a\u202eb", "a" * 201, "a\ud800")),
    *(
        (fields.Email, value)
        for value in ("a", "@b", "a@", "a@b@c", "a b@c", f"{'a' * 65}@b", f"a@{'b' * 256}", "a\u200b@b")
    ),
    *((fields.NewPassword, value) for value in ("a" * 9, "a" * 257, "a" * 10 + "\0")),
    *((fields.Label, value) for value in ("", "a\u0085", "a" * 201)),
    *((fields.Day, value) for value in ("2027-02-29", "1899-12-31", "0000-01-01", "20270228", "0", 0, True)),
    *(
        (fields.Timestamp, value)
        for value in ("0", 0, True, "2027-12-31", "2027-12-31T23:59:59", "2027-12-31 23:59:59Z")
    ),
    *((fields.Timestamp, value) for value in ("1899-12-31T23:59:59Z", "9001-01-01T00:00:00Z", "2027-02-30T00:00:00Z")),
    *(
        (fields.Id, value)
        for value in ("aa6b4d99830548a88ad1e5994b7e7bee", "{aa6b4d99-8305-48a8-8ad1-e5994b7e7bee}", 1)
    ),
]


@pytest.mark.parametrize(("kind", "sent"), REFUSED)
def test_a_text_beyond_a_limit_is_refused_in_words(kind: Any, sent: object) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(sent)
    (error,) = refused.value.errors()
    assert "pattern" not in error["type"]
    assert "[" not in error["msg"]


@pytest.mark.parametrize("sent", ["2027-12-31T23:59:59Z", "2027-12-31t23:59:59.123456z", "1900-01-01T00:00:00-23:59"])
def test_times_of_rfc_3339_are_accepted(sent: str) -> None:
    assert TypeAdapter(fields.Timestamp).validate_python(sent).tzinfo is not None
