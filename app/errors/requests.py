"""Errors in the request itself: its format, parameters, size and preconditions."""

from app.errors.base import AppError


class RequestRefused(AppError):
    """The request is not valid."""

    status = 422
    code = "invalid_request"


class InvalidParameter(RequestRefused):
    """A parameter is missing or has an invalid value."""

    code = "invalid_parameter"


class DuplicateField(RequestRefused):
    """A JSON object has the same name twice."""

    code = "duplicate_field"


class InvalidCursor(RequestRefused):
    """The cursor is not valid for this list."""

    code = "invalid_cursor"


class InvalidMetadata(RequestRefused):
    """The metadata is not a valid JSON object."""

    code = "invalid_metadata"


class RecognizerMismatch(RequestRefused):
    """Embeddings from different recognizers cannot be compared."""

    code = "recognizer_mismatch"


class ConsentRequired(RequestRefused):
    """The tenant's policy requires consent before a face is stored."""

    code = "consent_required"


class ConsentWithdrawn(RequestRefused):
    """The person withdrew their consent; record a new consent before storing their face."""

    code = "consent_withdrawn"


class ObjectUnavailable(RequestRefused):
    """The photo could not be fetched from the tenant's object store."""

    code = "object_unavailable"

    def __init__(self, detail: str | None = None, *, field: str | None = None, is_unreadable: bool = False) -> None:
        super().__init__(detail, field=field)
        self.is_unreadable = is_unreadable
        """Whether the object store was asked, and has no such object or does not allow reading it."""


class ObjectStoreNotSet(ObjectUnavailable):
    """The photo lies in the tenant's object store, and none is set."""

    code = "object_store_not_set"


class ObjectStoreUnavailable(ObjectUnavailable):
    """The tenant's object store does not respond or has too much to do; the photo may be there."""

    code = "object_store_unavailable"


class MalformedRequest(RequestRefused):
    """The request body is not a JSON object."""

    code = "malformed_request"


class UnknownOperation(RequestRefused):
    """The requested operation does not exist."""

    code = "unknown_operation"


class RequestTooLarge(RequestRefused):
    """The request body is larger than this route accepts."""

    status = 413
    code = "request_too_large"


class RequestTimeout(RequestRefused):
    """The request body did not arrive in time."""

    status = 408
    code = "request_timeout"


class UnsupportedMediaType(RequestRefused):
    """This route does not accept the content type or encoding of the request's body."""

    status = 415
    code = "unsupported_media_type"


class TooManyImages(RequestRefused):
    """The request contains more images than one call allows."""

    code = "too_many_images"


class BatchRouteNeeded(RequestRefused):
    """This route takes one photo; another route takes several."""

    code = "batch_route_needed"


class RouteNotFound(RequestRefused):
    """No route exists at this path."""

    status = 404
    code = "route_not_found"


class MethodNotAllowed(RequestRefused):
    """This path does not support the request method."""

    status = 405
    code = "method_not_allowed"


class IdempotencyKeyReused(RequestRefused):
    """This Idempotency-Key was already used for a different request."""

    code = "idempotency_key_reused"


class IdempotentAnswerErased(RequestRefused):
    """The request was already processed, but its stored response was erased together with the data it described."""

    status = 410
    code = "idempotent_answer_erased"


class MailNotConfigured(RequestRefused):
    """This server sends no mail; ask an admin of your tenant for a link."""

    code = "mail_not_configured"
