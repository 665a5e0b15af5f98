"""Decide who may call an inference server: the holder of the token, or of a client certificate, or this host alone."""

import hmac
from ipaddress import ip_address

from pydantic import SecretStr
from starlette.requests import Request

from app.errors import AuthenticationFailed, OperatorError
from app.settings import Settings


def check_exposure(settings: Settings, host: str) -> None:
    """Raise `OperatorError` if anybody who reaches `host` could send photos."""
    if settings.inference_ca_file is not None and settings.inference_cert_file is None:
        raise OperatorError(
            "VULTUS_INFERENCE_CA_FILE demands certificates of clients, which needs TLS: set VULTUS_INFERENCE_CERT_FILE "
            "and VULTUS_INFERENCE_KEY_FILE too."
        )
    if settings.inference_token is None and settings.inference_ca_file is None and not _is_loopback(host):
        raise OperatorError(
            f"Listening on {host} needs VULTUS_INFERENCE_TOKEN (at least 32 random bytes), or certificates of clients: "
            f"VULTUS_INFERENCE_CA_FILE, VULTUS_INFERENCE_CERT_FILE and VULTUS_INFERENCE_KEY_FILE."
        )


def require_token(request: Request, *tokens: SecretStr | None) -> None:
    """Raise `AuthenticationFailed` unless the request has one of these tokens; without any, everybody may call."""
    expected = [token.get_secret_value().encode() for token in tokens if token is not None]
    if not expected:
        return
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    is_right = [hmac.compare_digest(sent.encode(), token) for token in expected]
    if scheme.lower() != "bearer" or len(request.headers.getlist("authorization")) != 1 or not any(is_right):
        raise AuthenticationFailed("Send the inference token as `Authorization: Bearer <token>`.")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
