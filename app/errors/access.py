"""Errors of authentication, permissions and quotas."""

from app.errors.base import AppError


class AuthenticationFailed(AppError):
    """The request has no valid credentials."""

    status = 401
    code = "not_authenticated"


class InvalidCredentials(AuthenticationFailed):
    """The email or password is wrong."""

    code = "invalid_credentials"


class TokenInvalid(AuthenticationFailed):
    """The token is not valid."""

    code = "token_invalid"


class TokenExpired(AuthenticationFailed):
    """The token has expired."""

    code = "token_expired"


class TokenRevoked(AuthenticationFailed):
    """The token's session has ended."""

    code = "token_revoked"


class SecondFactorNeeded(AuthenticationFailed):
    """The password is right; send the code of your second factor as well."""

    code = "second_factor_needed"


class SecondFactorWrong(AuthenticationFailed):
    """The code of the second factor is wrong, or was used before."""

    code = "second_factor_wrong"


class SignatureInvalid(AuthenticationFailed):
    """The request's signature is not valid."""

    code = "signature_invalid"

    def __init__(self, fault: str | None, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        """A `SignatureFault`, or None if the access key does not exist."""


class PermissionDenied(AppError):
    """The caller lacks a permission for this."""

    status = 403
    code = "permission_denied"


class SecondFactorRequired(PermissionDenied):
    """Your tenant demands a second factor; set one up first."""

    code = "second_factor_required"


class QuotaExceeded(PermissionDenied):
    """Your plan's quota is used up."""

    code = "quota_exceeded"
    quota: str | None = None
    """The plan's quota; None for a fixed limit."""

    @classmethod
    def of(cls, quota: str, detail: str) -> "QuotaExceeded":
        """Describe that a plan's quota is used up."""
        error = cls(detail)
        error.quota = quota
        return error


class SignupDisabled(PermissionDenied):
    """Signup is disabled on this server; ask the operator for an account."""

    code = "signup_disabled"
