"""Errors in the request itself: its format, parameters, size and preconditions."""

from app.errors.base import AppError


class RequestRefused(AppError):
    """The request is not valid."""

    status = 422
    code = "invalid_request"
    remedy = "Correct it as `detail` says."


class InvalidParameter(RequestRefused):
    """A parameter is missing or has an invalid value."""

    code = "invalid_parameter"
    remedy = "Correct the fields in `errors`."


class DuplicateField(RequestRefused):
    """A JSON object has the same name twice."""

    code = "duplicate_field"
    remedy = "Send each name once."


class InvalidCursor(RequestRefused):
    """The cursor is not valid for this list."""

    code = "invalid_cursor"
    remedy = "Begin with the first page."


class InvalidMetadata(RequestRefused):
    """The metadata is not a valid JSON object."""

    code = "invalid_metadata"
    remedy = "Send an object of at most 16 KiB."


class RecognizerMismatch(RequestRefused):
    """Embeddings from different recognizers cannot be compared."""

    code = "recognizer_mismatch"
    remedy = "Embed the photo with the one in use."


class ConsentRequired(RequestRefused):
    """The tenant's policy requires consent before a face is stored."""

    code = "consent_required"
    remedy = "Send `consent`, or record one first."


class ConsentWithdrawn(RequestRefused):
    """The person withdrew their consent; record a new consent before storing their face."""

    code = "consent_withdrawn"
    remedy = "Get a new consent and send its reference."


class ObjectUnavailable(RequestRefused):
    """The photo could not be fetched from the tenant's object store."""

    code = "object_unavailable"
    remedy = "Check bucket, name, credentials."

    def __init__(self, detail: str | None = None, *, field: str | None = None, is_unreadable: bool = False) -> None:
        super().__init__(detail, field=field)
        self.is_unreadable = is_unreadable
        """Whether the object store was asked, and has no such object or does not allow reading it."""


class ObjectStoreNotSet(ObjectUnavailable):
    """The photo lies in the tenant's object store, and none is set."""

    code = "object_store_not_set"
    remedy = "`PUT /object-store`."


class ObjectStoreUnavailable(ObjectUnavailable):
    """The tenant's object store does not respond or has too much to do; the photo may be there."""

    code = "object_store_unavailable"
    remedy = "Try again later."


class MalformedRequest(RequestRefused):
    """The request body is not a JSON object."""

    code = "malformed_request"
    remedy = "Send JSON."


class UnknownOperation(RequestRefused):
    """The requested operation does not exist."""

    code = "unknown_operation"
    remedy = "See the operations of the Rekognition protocol."


class RequestTooLarge(RequestRefused):
    """The request body is larger than this route accepts."""

    status = 413
    code = "request_too_large"
    remedy = "Send less, or fewer images."


class RequestTimeout(RequestRefused):
    """The request body did not arrive in time."""

    status = 408
    code = "request_timeout"
    remedy = "Send it again, faster."


class UnsupportedMediaType(RequestRefused):
    """This route does not accept the content type or encoding of the request's body."""

    status = 415
    code = "unsupported_media_type"
    remedy = "Send `multipart/form-data` or JSON."


class TooManyImages(RequestRefused):
    """The request contains more images than one call allows."""

    code = "too_many_images"
    remedy = "Split the call."


class BatchRouteNeeded(RequestRefused):
    """This route takes one photo; another route takes several."""

    code = "batch_route_needed"
    remedy = "Use the batch route in `detail`."


class RouteNotFound(RequestRefused):
    """No route exists at this path."""

    status = 404
    code = "route_not_found"
    remedy = "Check path and prefix `/api/v1`."


class MethodNotAllowed(RequestRefused):
    """This path does not support the request method."""

    status = 405
    code = "method_not_allowed"
    remedy = "See the header `allow`."


class IdempotencyKeyReused(RequestRefused):
    """This Idempotency-Key was already used for a different request."""

    code = "idempotency_key_reused"
    remedy = "Use a new key."


class IdempotentAnswerErased(RequestRefused):
    """The request was already processed, but its stored response was erased together with the data it described."""

    status = 410
    code = "idempotent_answer_erased"
    remedy = "Do not repeat it."


class MalformedHttp(RequestRefused):
    """The HTTP request is malformed."""

    status = 400
    code = "malformed_http"
    remedy = "Use an HTTP client that keeps to the protocol; the connection is closed."


class MailNotConfigured(RequestRefused):
    """This server sends no mail; ask an admin of your tenant for a link."""

    code = "mail_not_configured"
    remedy = "Ask an admin of your tenant for a link."
