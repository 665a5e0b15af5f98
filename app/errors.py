"""The closed tree of errors that Vultus raises on purpose; only `routes/error_handlers.py` turns them into JSON.

    AppError
      RequestRefused          invalid_request, invalid_parameter, invalid_cursor, invalid_metadata,
                              request_too_large, request_timeout, unsupported_media_type, too_many_images,
                              route_not_found, method_not_allowed, idempotency_key_reused, idempotent_answer_erased,
                              recognizer_mismatch, consent_required, consent_withdrawn, object_unavailable,
                              malformed_request, unknown_operation
      ImageRefused            image_empty, image_too_large, image_unreadable, image_truncated,
                              image_too_many_pixels, image_too_complex, image_animated, image_mode_unsupported
      FaceRefused             no_face, several_faces, face_too_small, face_blurred, face_too_dark,
                              face_too_bright, face_turned_away, face_uncertain
      NoImageAccepted         no_image_accepted
      AuthenticationFailed    not_authenticated, invalid_credentials, token_invalid, token_expired, token_revoked,
                              signature_invalid
      PermissionDenied        permission_denied
        SignupDisabled        signup_disabled
        QuotaExceeded         quota_exceeded
      NotFound                collection_not_found, subject_not_found, face_not_found, user_not_found,
                              key_not_found, tenant_not_found, plan_not_found, object_store_not_found,
                              recognizer_not_found
      Conflict                email_taken, collection_exists, subject_exists, last_admin, too_many_keys, subject_full,
                              recognizer_incomplete, recognizer_in_use
      TooManyRequests                rate_limited, too_many_login_attempts
      Unavailable             overloaded, client_disconnected, not_ready, database_unavailable, recognizer_unavailable,
                              recognizer_changed
      InternalError           internal_error
    OperatorError             never reaches a client: configuration, model packs, migration

A class states its HTTP `status`, its stable `code` and, as its docstring, the sentence a caller reads; the detail of
an instance names the field, the limit and the value. No error carries an image, an embedding or a secret.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """The request could not be answered."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.headers = headers or {}
        self.title = (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail or self.title
        self.field = field
        self.errors = errors
        self.retry_after_s = retry_after_s
        super().__init__(self.detail)


class InternalError(AppError):
    """Something failed on our side; the request id finds it in the log."""


# --- the request itself -------------------------------------------------------------------------------------------


class RequestRefused(AppError):
    """The request is not well-formed."""

    status = 422
    code = "invalid_request"


class InvalidParameter(RequestRefused):
    """A parameter is missing or not what it may be."""

    code = "invalid_parameter"


class InvalidCursor(RequestRefused):
    """The cursor was not issued for this list."""

    code = "invalid_cursor"


class InvalidMetadata(RequestRefused):
    """The metadata is not a JSON object."""

    code = "invalid_metadata"


class RecognizerMismatch(RequestRefused):
    """Embeddings of different recognizers cannot be compared."""

    code = "recognizer_mismatch"


class ConsentRequired(RequestRefused):
    """The tenant's policy stores nobody's face without their consent."""

    code = "consent_required"


class ConsentWithdrawn(RequestRefused):
    """The person withdrew their consent; a new one is needed before their face is stored again."""

    code = "consent_withdrawn"


class ObjectUnavailable(RequestRefused):
    """The photo cannot be fetched from the tenant's object store."""

    code = "object_unavailable"


class MalformedRequest(RequestRefused):
    """The body is not a JSON object."""

    code = "malformed_request"


class UnknownOperation(RequestRefused):
    """There is no such operation here."""

    code = "unknown_operation"


class RequestTooLarge(RequestRefused):
    """The request body is larger than this route accepts."""

    status = 413
    code = "request_too_large"


class RequestTimeout(RequestRefused):
    """The request's body did not arrive in time."""

    status = 408
    code = "request_timeout"


class UnsupportedMediaType(RequestRefused):
    """The content type is not one this route accepts."""

    status = 415
    code = "unsupported_media_type"


class TooManyImages(RequestRefused):
    """The request holds more images than one call may."""

    code = "too_many_images"


class RouteNotFound(RequestRefused):
    """There is nothing at this path."""

    status = 404
    code = "route_not_found"


class MethodNotAllowed(RequestRefused):
    """This path does not answer this method."""

    status = 405
    code = "method_not_allowed"


# --- the image ----------------------------------------------------------------------------------------------------


class ImageRefused(AppError):
    """The image cannot be used."""

    status = 422
    code = "image_refused"


class ImageEmpty(ImageRefused):
    """The image has no bytes."""

    code = "image_empty"


class ImageTooLarge(ImageRefused):
    """The image has more bytes than allowed."""

    status = 413
    code = "image_too_large"


class ImageUnreadable(ImageRefused):
    """The bytes are not a JPEG, PNG or WebP image."""

    code = "image_unreadable"


class ImageTruncated(ImageRefused):
    """The image is cut off or damaged."""

    code = "image_truncated"


class ImageTooManyPixels(ImageRefused):
    """The image has more pixels than allowed."""

    code = "image_too_many_pixels"


class ImageTooComplex(ImageRefused):
    """The image is built so that decoding it takes too long."""

    code = "image_too_complex"


class ImageAnimated(ImageRefused):
    """The image is animated; send one frame."""

    code = "image_animated"


class ImageModeUnsupported(ImageRefused):
    """The image's pixel format is not supported."""

    code = "image_mode_unsupported"


# --- the face -----------------------------------------------------------------------------------------------------


class FaceRefused(AppError):
    """The face in the image cannot be used."""

    status = 422
    code = "face_refused"


class NoFace(FaceRefused):
    """No face was found in the image."""

    code = "no_face"


class SeveralFaces(FaceRefused):
    """The image shows several faces; send one, or ask for the largest."""

    code = "several_faces"


class FaceTooSmall(FaceRefused):
    """The face is too small to be recognized reliably."""

    code = "face_too_small"


class FaceBlurred(FaceRefused):
    """The face is too blurred to be recognized reliably."""

    code = "face_blurred"


class FaceTooDark(FaceRefused):
    """The face is too dark to be recognized reliably."""

    code = "face_too_dark"


class FaceTooBright(FaceRefused):
    """The face is too bright to be recognized reliably."""

    code = "face_too_bright"


class FaceTurnedAway(FaceRefused):
    """The face is turned away too far to be recognized reliably."""

    code = "face_turned_away"


class FaceUncertain(FaceRefused):
    """The detector doubts that this is a face."""

    code = "face_uncertain"


class NoImageAccepted(AppError):
    """None of the images could be used; each one's reason is in `errors`."""

    status = 422
    code = "no_image_accepted"


# --- who is asking ------------------------------------------------------------------------------------------------


class AuthenticationFailed(AppError):
    """The request carries no valid credentials."""

    status = 401
    code = "not_authenticated"


class InvalidCredentials(AuthenticationFailed):
    """The email or the password is wrong."""

    code = "invalid_credentials"


class TokenInvalid(AuthenticationFailed):
    """The token is not one of ours."""

    code = "token_invalid"


class TokenExpired(AuthenticationFailed):
    """The token has expired."""

    code = "token_expired"


class TokenRevoked(AuthenticationFailed):
    """The session of this token has ended."""

    code = "token_revoked"


class SignatureInvalid(AuthenticationFailed):
    """The request's signature is not believed."""

    code = "signature_invalid"

    def __init__(self, fault: str | None, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        """A `SignatureFault`; None: there is no such access key."""


class PermissionDenied(AppError):
    """Your role does not allow this."""

    status = 403
    code = "permission_denied"


class QuotaExceeded(PermissionDenied):
    """Your plan does not include more of this."""

    code = "quota_exceeded"


class SignupDisabled(PermissionDenied):
    """Signing up is turned off on this server; ask its operator for an account."""

    code = "signup_disabled"


# --- what is asked for --------------------------------------------------------------------------------------------


class NotFound(AppError):
    """There is no such thing, or it is not yours."""

    status = 404
    code = "not_found"


class CollectionNotFound(NotFound):
    """There is no such collection."""

    code = "collection_not_found"


class SubjectNotFound(NotFound):
    """There is no such subject in this collection."""

    code = "subject_not_found"


class FaceNotFound(NotFound):
    """There is no such face."""

    code = "face_not_found"


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class ObjectStoreNotFound(NotFound):
    """No object store is set for your tenant."""

    code = "object_store_not_found"


class RecognizerNotFound(NotFound):
    """The collection has no faces of that recognizer."""

    code = "recognizer_not_found"


class PlanNotFound(NotFound):
    """There is no such plan."""

    code = "plan_not_found"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user_not_found"


class KeyNotFound(NotFound):
    """There is no such key."""

    code = "key_not_found"


class Conflict(AppError):
    """It is there already."""

    status = 409
    code = "conflict"


class EmailTaken(Conflict):
    """There is an account with this email already."""

    code = "email_taken"


class CollectionExists(Conflict):
    """There is a collection with this name already."""

    code = "collection_exists"


class SubjectExists(Conflict):
    """There is a subject with this id in the collection already."""

    code = "subject_exists"


class LastAdmin(Conflict):
    """A tenant keeps at least one admin."""

    code = "last_admin"


class TooManyKeys(Conflict):
    """There are two live keys of this name already; revoke one before you rotate again."""

    code = "too_many_keys"


class SubjectFull(Conflict):
    """The subject has as many faces as may be given to one."""

    code = "subject_full"


class RecognizerIncomplete(Conflict):
    """Subjects of the collection have no face stored with that recognizer."""

    code = "recognizer_incomplete"


class RecognizerInUse(Conflict):
    """The collection's faces are searched or stored with that recognizer."""

    code = "recognizer_in_use"


class IdempotentAnswerErased(RequestRefused):
    """This was done before, and what it was about was erased since."""

    status = 410
    code = "idempotent_answer_erased"


class IdempotencyKeyReused(RequestRefused):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


# --- too often ----------------------------------------------------------------------------------------------------


class TooManyRequests(AppError):
    """Too many requests."""

    status = 429
    code = "too_many_requests"


class RateLimited(TooManyRequests):
    """Your plan's rate for this is used up for the moment."""

    code = "rate_limited"


class TooManyLoginAttempts(TooManyRequests):
    """Too many tries to sign in to this account from this address."""

    code = "too_many_login_attempts"


# --- not now ------------------------------------------------------------------------------------------------------


class Unavailable(AppError):
    """The service cannot answer at the moment."""

    status = 503
    code = "unavailable"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Overloaded(Unavailable):
    """Too much work is waiting already."""

    code = "overloaded"


class ClientDisconnected(Unavailable):
    """The caller closed the connection before its turn came."""

    code = "client_disconnected"


class NotReady(Unavailable):
    """The service is starting, stopping or waits for its database."""

    code = "not_ready"


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"


class RecognizerUnavailable(Unavailable):
    """The recognizer that the collection is searched with is not loaded."""

    code = "recognizer_unavailable"


class RecognizerChanged(Unavailable):
    """The collection went over to another recognizer meanwhile; send it again."""

    code = "recognizer_changed"


# --- for whoever runs the service ---------------------------------------------------------------------------------


class OperatorError(Exception):
    """The service cannot be started or managed like this; the message says what to do."""


class GraphsBusy(OperatorError):
    """Another process builds or drops search graphs just now; try again when it is done."""


class ModelPackUnavailable(OperatorError):
    """No model pack is to be had."""


class ModelPackRefused(OperatorError):
    """The model pack's files are not what they should be."""


class DatabaseNotReady(OperatorError):
    """The database cannot be used as it is."""
