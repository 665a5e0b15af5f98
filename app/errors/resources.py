"""Errors of the resource that a request names: it does not exist, or its state conflicts with the request."""

from app.errors.base import AppError


class NotFound(AppError):
    """The resource does not exist or belongs to another tenant."""

    status = 404
    code = "not_found"
    remedy = "Check the id."


class CollectionNotFound(NotFound):
    """The collection does not exist."""

    code = "collection_not_found"
    remedy = "Check the name."


class SubjectNotFound(NotFound):
    """The subject does not exist in this collection."""

    code = "subject_not_found"
    remedy = "Check the id."


class FaceNotFound(NotFound):
    """The face does not exist."""

    code = "face_not_found"
    remedy = "Check the id; see the coverage."


class TenantNotFound(NotFound):
    """The tenant does not exist."""

    code = "tenant_not_found"
    remedy = "List the tenants."


class ObjectStoreNotFound(NotFound):
    """No object store is configured for your tenant."""

    code = "object_store_not_found"
    remedy = "Set one with `PUT /object-store`."


class RecognizerNotFound(NotFound):
    """The collection has no faces embedded by this recognizer."""

    code = "recognizer_not_found"
    remedy = "See `GET .../recognizers`."


class PlanNotFound(NotFound):
    """The plan does not exist."""

    code = "plan_not_found"
    remedy = "List the plans."


class UserNotFound(NotFound):
    """The user does not exist."""

    code = "user_not_found"
    remedy = "Check the id."


class InvitationNotFound(NotFound):
    """The invitation does not exist, or was accepted, revoked or has expired."""

    code = "invitation_not_found"
    remedy = "Ask for a new invitation."


class SessionNotFound(NotFound):
    """The session does not exist or has ended."""

    code = "session_not_found"
    remedy = "List the sessions."


class KeyNotFound(NotFound):
    """The key does not exist."""

    code = "key_not_found"
    remedy = "List the keys."


class Conflict(AppError):
    """The request conflicts with the current state of the resource."""

    status = 409
    code = "conflict"
    remedy = "See `detail`."


class EmailTaken(Conflict):
    """An account with this email already exists."""

    code = "email_taken"
    remedy = "Use another email."


class CollectionExists(Conflict):
    """A collection with this name already exists."""

    code = "collection_exists"
    remedy = "Use it, or another name."


class SubjectExists(Conflict):
    """A subject with this id already exists in the collection."""

    code = "subject_exists"
    remedy = "Use `PATCH`, or another id."


class SubjectAnonymous(Conflict):
    """The subject stands for one face without a name; assign the face to a subject instead."""

    code = "subject_anonymous"
    remedy = "Assign its face instead."


class SecondFactorExists(Conflict):
    """A second factor is set up already; remove it first."""

    code = "second_factor_exists"
    remedy = "Remove it first."


class SecondFactorMissing(Conflict):
    """No second factor is set up."""

    code = "second_factor_missing"
    remedy = "Set one up first."


class LastAdmin(Conflict):
    """The tenant's last admin cannot be removed or given another role."""

    code = "last_admin"
    remedy = "Make another user admin first."


class TooManyKeys(Conflict):
    """Two active keys with this name already exist; revoke one before rotating again."""

    code = "too_many_keys"
    remedy = "Revoke one before you rotate again."


class SubjectFull(Conflict):
    """The subject already has the maximum number of faces."""

    code = "subject_full"
    remedy = "Assign or merge fewer: a subject has up to 100 faces by assignment, 1,000 by a merge."


class RecognizerIncomplete(Conflict):
    """Some subjects in the collection have no face embedded by this recognizer."""

    code = "recognizer_incomplete"
    remedy = "Migrate them, or accept the loss."


class RecognizerInUse(Conflict):
    """The collection still uses this recognizer."""

    code = "recognizer_in_use"
    remedy = "Switch first."
