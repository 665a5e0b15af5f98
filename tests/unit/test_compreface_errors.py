"""What CompreFace's clients get for each of our errors."""

import json

import pytest

from app import errors
from app.compreface.errors import code_of, compreface_error


def tree(kind: type[errors.AppError]) -> set[type[errors.AppError]]:
    return {kind}.union(*(tree(child) for child in kind.__subclasses__()))


KINDS = sorted(
    (kind for kind in tree(errors.AppError) if kind.__module__.startswith("app.") and "code" in vars(kind)),
    key=lambda kind: kind.code,
)


def make(kind: type[errors.AppError]) -> errors.AppError:
    return kind(None, "detail") if kind is errors.SignatureInvalid else kind("detail")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_error_has_a_status_and_a_code(kind: type[errors.AppError]) -> None:
    response = compreface_error(make(kind))
    body = json.loads(bytes(response.body))
    assert body["reason"] == kind.code
    assert isinstance(body["code"], int)
    expected = 400 if kind.status in (409, 422) else kind.status
    assert response.status_code == expected


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NoFace(), 400, 28),
        (errors.SeveralFaces("7 faces"), 400, 31),
        (errors.FaceBlurred("too blurred"), 400, 36),
        (errors.ImageUnreadable("no photo"), 400, 21),
        (errors.AuthenticationFailed("no key"), 401, 20),
        (errors.TokenInvalid(), 401, 10),
        (errors.PermissionDenied("no scope"), 403, 1),
        (errors.QuotaExceeded.of("templates", "full"), 403, 1),
        (errors.CollectionNotFound("none"), 404, 10),
        (errors.SubjectNotFound("none"), 404, 42),
        (errors.FaceNotFound("none"), 404, 44),
        (errors.SubjectExists("one"), 400, 43),
        (errors.InvalidParameter("wrong"), 400, 26),
        (errors.ConsentRequired("none"), 400, 36),
        (errors.Overloaded("full", retry_after_s=7), 503, 0),
        (errors.InternalError(), 500, 0),
    ],
)
def test_codes_are_those_of_compreface(error: errors.AppError, status: int, code: int) -> None:
    response = compreface_error(error)
    assert (response.status_code, code_of(error)) == (status, code)
    assert response.headers.get("retry-after") == (str(error.retry_after_s) if error.retry_after_s else None)
    assert ("www-authenticate" in response.headers) is (status == 401)
