"""Read the operation from a request's headers, before anything of the body is read."""

import sys
from collections.abc import Mapping

from app.errors import UnknownOperation
from app.rekognition import MAX_BODY_BYTES, MAX_PLAIN_BYTES, TARGET_PREFIX
from app.rekognition.operations import OPERATIONS
from app.rekognition.wire_model import WireModel


def read_target(target: str, model: WireModel) -> str:
    """Return the operation that `X-Amz-Target` names; raises `UnknownOperation`."""
    prefix, _, name = target.partition(".")
    if prefix == TARGET_PREFIX and name in OPERATIONS:
        return name
    if prefix == TARGET_PREFIX and name in model.operations:
        raise UnknownOperation(
            f"{name} is not supported by Vultus, which serves only the operations for faces in photos and stored "
            f"videos. Send it to AWS Rekognition."
        )
    shown = target.encode("ascii", "replace").decode()[:64]
    raise UnknownOperation(f"X-Amz-Target: {shown or '(missing)'} is not an operation of {TARGET_PREFIX}.")


def max_body_bytes(headers: Mapping[str, str]) -> int:
    """Return the maximum body size for the operation in the headers, which are not verified yet.

    Any size if the operation is not supported: it is refused by name, and its body is never read.
    """
    if not _is_supported(headers):
        return sys.maxsize
    return MAX_BODY_BYTES if runs_inference(headers) else MAX_PLAIN_BYTES


def runs_inference(headers: Mapping[str, str]) -> bool:
    """Return whether the operation in the headers, which are not verified yet, takes photos."""
    return _is_supported(headers) and OPERATIONS[_name_in(headers)].has_photos


def _is_supported(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-target", "").partition(".")[0] == TARGET_PREFIX and _name_in(headers) in OPERATIONS


def _name_in(headers: Mapping[str, str]) -> str:
    return headers.get("x-amz-target", "").partition(".")[2]
