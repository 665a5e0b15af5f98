"""Errors of albums, their photos, and links for guests."""

from app.errors.availability import TooManyRequests, Unavailable
from app.errors.images import ImageRefused
from app.errors.requests import RequestRefused
from app.errors.resources import Conflict, NotFound


class AlbumNotFound(NotFound):
    """The album does not exist."""

    code = "album_not_found"
    remedy = "Check the id."


class PoolNotFound(NotFound):
    """The collection is no pool."""

    code = "pool_not_found"
    remedy = "Make it one with `PUT .../pool`."


class PhotoNotFound(NotFound):
    """The album has no such photo."""

    code = "photo_not_found"
    remedy = "List its photos."


class LinkNotFound(NotFound):
    """The link does not exist, has expired, or was used or revoked."""

    code = "link_not_found"
    remedy = "Ask for a new one."


class AlbumClosed(Conflict):
    """The album is closed and takes no more photos."""

    code = "album_closed"
    remedy = "Reopen it with `PATCH`."


class PhotoExists(Conflict):
    """The album has another photo with this id."""

    code = "photo_exists"
    remedy = "Delete it, or choose another id."


class PhotoNotUploaded(Conflict):
    """The announced photo is not in the bucket; upload it first."""

    code = "photo_not_uploaded"
    remedy = "Upload it with the form."


class UploadsNeedBucket(RequestRefused):
    """Photos can be uploaded to a bucket only, and this server keeps waiting photos in a directory."""

    code = "uploads_need_bucket"
    remedy = "Send the photos to the service."


class PhotoLost(ImageRefused):
    """The photo is not in the store anymore; send it again."""

    code = "photo_lost"
    remedy = "Send it again."


class PhotoHarmful(ImageRefused):
    """The photo's processing was cut off several times, so it may harm the workers."""

    code = "poison"
    remedy = "Save it again as a plain JPEG."


class TooManyPhotosWaiting(TooManyRequests):
    """Too many of your photos wait to be processed; send more when some are done."""

    code = "too_many_photos_waiting"
    remedy = "Wait as `Retry-After` says."


class PhotoStoreUnavailable(Unavailable):
    """The store of waiting photos cannot be reached or is full; try again later."""

    code = "photo_store_unavailable"
    remedy = "Try again as `Retry-After` says."


class SightingNotFound(NotFound):
    """No face of your albums has this id."""

    code = "sighting_not_found"
    remedy = "List the sightings."


class ClusterNotFound(NotFound):
    """No cluster of your albums has this id; clusters change when faces do."""

    code = "cluster_not_found"
    remedy = "List the clusters; they change."


class ClustersConflict(Conflict):
    """What you ask of clusters contradicts what somebody said before, or that a person is in a photo once."""

    code = "clusters_conflict"
    remedy = "See `detail`; undo that."


class OperationNotFound(NotFound):
    """There is no such operation."""

    code = "operation_not_found"
    remedy = "Use the id that the change answered."


class OperationUndone(Conflict):
    """The operation was undone already."""

    code = "operation_undone"
    remedy = "Nothing is left to do."


class OperationSuperseded(Conflict):
    """A person has changed some of it since; undo that first."""

    code = "operation_superseded"
    remedy = "Undo that first."
