"""The supported operations. An operation's permission also selects its rate limit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.permissions import Permission
from app.rekognition import collections, faces, searches, tags, users, videos
from app.rekognition.call import Call, Result


@dataclass(frozen=True, slots=True)
class Operation:
    """A supported operation; `has_photos` if it runs inference on photos in its request."""

    work: Callable[[Call], Awaitable[Result]]
    permission: Permission
    has_photos: bool = False


OPERATIONS: dict[str, Operation] = {
    "CreateCollection": Operation(collections.create_collection, Permission.REGISTER),
    "DescribeCollection": Operation(collections.describe_collection, Permission.READ),
    "ListCollections": Operation(collections.list_collections, Permission.READ),
    "DeleteCollection": Operation(collections.delete_collection, Permission.DELETE),
    "DetectFaces": Operation(faces.detect_faces, Permission.RECOGNIZE, has_photos=True),
    "IndexFaces": Operation(faces.index_faces, Permission.REGISTER, has_photos=True),
    "ListFaces": Operation(faces.list_faces, Permission.READ),
    "DeleteFaces": Operation(faces.delete_faces, Permission.DELETE),
    "SearchFaces": Operation(searches.search_faces, Permission.RECOGNIZE),
    "SearchFacesByImage": Operation(searches.search_faces_by_image, Permission.RECOGNIZE, has_photos=True),
    "CompareFaces": Operation(searches.compare_faces, Permission.RECOGNIZE, has_photos=True),
    "SearchUsers": Operation(searches.search_users, Permission.RECOGNIZE),
    "SearchUsersByImage": Operation(searches.search_users_by_image, Permission.RECOGNIZE, has_photos=True),
    "StartFaceDetection": Operation(videos.start_face_detection, Permission.RECOGNIZE),
    "GetFaceDetection": Operation(videos.get_face_detection, Permission.RECOGNIZE),
    "StartFaceSearch": Operation(videos.start_face_search, Permission.RECOGNIZE),
    "GetFaceSearch": Operation(videos.get_face_search, Permission.RECOGNIZE),
    "CreateUser": Operation(users.create_user, Permission.REGISTER),
    "DeleteUser": Operation(users.delete_user, Permission.DELETE),
    "ListUsers": Operation(users.list_users, Permission.READ),
    "AssociateFaces": Operation(users.associate_faces, Permission.REGISTER),
    "DisassociateFaces": Operation(users.disassociate_faces, Permission.REGISTER),
    "TagResource": Operation(tags.tag_resource, Permission.REGISTER),
    "UntagResource": Operation(tags.untag_resource, Permission.REGISTER),
    "ListTagsForResource": Operation(tags.list_tags_for_resource, Permission.READ),
}
