"""Errors of authentication, permissions and quotas."""

from app.errors.base import AppError


class AuthenticationFailed(AppError):
    """The request has no valid credentials."""

    status = 401
    code = "not_authenticated"
    remedy = "Send `Authorization: Bearer ...`."


class InvalidCredentials(AuthenticationFailed):
    """The email or password is wrong."""

    code = "invalid_credentials"
    remedy = "Check both."


class TokenInvalid(AuthenticationFailed):
    """The token is not valid."""

    code = "token_invalid"
    remedy = "Sign in again, or check the key."


class TokenExpired(AuthenticationFailed):
    """The token has expired."""

    code = "token_expired"
    remedy = "Refresh the token, or issue a new key."


class TokenRevoked(AuthenticationFailed):
    """The token's session has ended."""

    code = "token_revoked"
    remedy = "Sign in again, or issue a new key."


class SecondFactorNeeded(AuthenticationFailed):
    """The password is right; send the code of your second factor as well."""

    code = "second_factor_needed"
    remedy = "Send the code in the field `code`, or a recovery code."


class SecondFactorWrong(AuthenticationFailed):
    """The code of the second factor is wrong, or was used before."""

    code = "second_factor_wrong"
    remedy = "Wait for the next code of your app, and check its clock."


class SignatureInvalid(AuthenticationFailed):
    """The request's signature is not valid."""

    code = "signature_invalid"
    remedy = "Check key, secret, clock, region and proxy of the Rekognition client."

    def __init__(self, fault: str | None, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        """A `SignatureFault`, or None if the access key does not exist."""


class PermissionDenied(AppError):
    """The caller lacks a permission for this."""

    status = 403
    code = "permission_denied"
    remedy = "Get what `detail` names."


class SecondFactorRequired(PermissionDenied):
    """Your tenant demands a second factor; set one up first."""

    code = "second_factor_required"
    remedy = "Set one up with `POST /auth/second-factor`."


class QuotaExceeded(PermissionDenied):
    """Your plan's quota is used up."""

    code = "quota_exceeded"
    remedy = "Delete something, or change the plan."
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
    remedy = "Ask the operator for an account."
