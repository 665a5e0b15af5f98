"""Errors of the resource that a request names: it does not exist, or its state conflicts with the request."""

from app.errors.base import AppError


class NotFound(AppError):
    """The resource does not exist or belongs to another tenant."""

    status = 404
    code = "not_found"


class CollectionNotFound(NotFound):
    """The collection does not exist."""

    code = "collection_not_found"


class SubjectNotFound(NotFound):
    """The subject does not exist in this collection."""

    code = "subject_not_found"


class FaceNotFound(NotFound):
    """The face does not exist."""

    code = "face_not_found"


class TenantNotFound(NotFound):
    """The tenant does not exist."""

    code = "tenant_not_found"


class ObjectStoreNotFound(NotFound):
    """No object store is configured for your tenant."""

    code = "object_store_not_found"


class RecognizerNotFound(NotFound):
    """The collection has no faces embedded by this recognizer."""

    code = "recognizer_not_found"


class PlanNotFound(NotFound):
    """The plan does not exist."""

    code = "plan_not_found"


class UserNotFound(NotFound):
    """The user does not exist."""

    code = "user_not_found"


class InvitationNotFound(NotFound):
    """The invitation does not exist, or was accepted, revoked or has expired."""

    code = "invitation_not_found"


class SessionNotFound(NotFound):
    """The session does not exist or has ended."""

    code = "session_not_found"


class KeyNotFound(NotFound):
    """The key does not exist."""

    code = "key_not_found"


class Conflict(AppError):
    """The request conflicts with the current state of the resource."""

    status = 409
    code = "conflict"


class EmailTaken(Conflict):
    """An account with this email already exists."""

    code = "email_taken"


class CollectionExists(Conflict):
    """A collection with this name already exists."""

    code = "collection_exists"


class SubjectExists(Conflict):
    """A subject with this id already exists in the collection."""

    code = "subject_exists"


class SubjectAnonymous(Conflict):
    """The subject stands for one face without a name; assign the face to a subject instead."""

    code = "subject_anonymous"


class SecondFactorExists(Conflict):
    """A second factor is set up already; remove it first."""

    code = "second_factor_exists"


class SecondFactorMissing(Conflict):
    """No second factor is set up."""

    code = "second_factor_missing"


class LastAdmin(Conflict):
    """The tenant's last admin cannot be removed or given another role."""

    code = "last_admin"


class TooManyKeys(Conflict):
    """Two active keys with this name already exist; revoke one before rotating again."""

    code = "too_many_keys"


class SubjectFull(Conflict):
    """The subject already has the maximum number of faces."""

    code = "subject_full"


class RecognizerIncomplete(Conflict):
    """Some subjects in the collection have no face embedded by this recognizer."""

    code = "recognizer_incomplete"


class RecognizerInUse(Conflict):
    """The collection still uses this recognizer."""

    code = "recognizer_in_use"
