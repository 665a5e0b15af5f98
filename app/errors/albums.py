"""Errors of albums, their photos, and links for guests."""

from app.errors.availability import TooManyRequests, Unavailable
from app.errors.images import ImageRefused
from app.errors.requests import RequestRefused
from app.errors.resources import Conflict, NotFound


class AlbumNotFound(NotFound):
    """The album does not exist."""

    code = "album_not_found"


class PoolNotFound(NotFound):
    """The collection is no pool."""

    code = "pool_not_found"


class PhotoNotFound(NotFound):
    """The album has no such photo."""

    code = "photo_not_found"


class LinkNotFound(NotFound):
    """The link does not exist, has expired, or was used or revoked."""

    code = "link_not_found"


class AlbumClosed(Conflict):
    """The album is closed and takes no more photos."""

    code = "album_closed"


class PhotoExists(Conflict):
    """The album has another photo with this id."""

    code = "photo_exists"


class PhotoNotUploaded(Conflict):
    """The announced photo is not in the bucket; upload it first."""

    code = "photo_not_uploaded"


class UploadsNeedBucket(RequestRefused):
    """Photos can be uploaded to a bucket only, and this server keeps waiting photos in a directory."""

    code = "uploads_need_bucket"


class PhotoLost(ImageRefused):
    """The photo is not in the store anymore; send it again."""

    code = "photo_lost"


class PhotoHarmful(ImageRefused):
    """The photo's processing was cut off several times, so it may harm the workers."""

    code = "poison"


class TooManyPhotosWaiting(TooManyRequests):
    """Too many of your photos wait to be processed; send more when some are done."""

    code = "too_many_photos_waiting"


class PhotoStoreUnavailable(Unavailable):
    """The store of waiting photos cannot be reached or is full; try again later."""

    code = "photo_store_unavailable"


class SightingNotFound(NotFound):
    """No face of your albums has this id."""

    code = "sighting_not_found"


class ClusterNotFound(NotFound):
    """No cluster of your albums has this id; clusters change when faces do."""

    code = "cluster_not_found"


class ClustersConflict(Conflict):
    """What you ask of clusters contradicts what somebody said before, or that a person is in a photo once."""

    code = "clusters_conflict"


class OperationNotFound(NotFound):
    """There is no such operation."""

    code = "operation_not_found"


class OperationUndone(Conflict):
    """The operation was undone already."""

    code = "operation_undone"


class OperationSuperseded(Conflict):
    """A person has changed some of it since; undo that first."""

    code = "operation_superseded"
