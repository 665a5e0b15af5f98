"""One call of an operation: its parameters, the caller's services, and what several operations need."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from pydantic import RootModel

from app.domain.faces import QualityBar
from app.errors import ImageTooLarge, InvalidParameter
from app.rekognition import MAX_IMAGE_BYTES, MIN_IMAGE_SIDE
from app.rekognition.arns import collection_arn, model_version, read_collection_arn
from app.rekognition.similarity import SimilarityScale
from app.rekognition.state import ProtocolState
from app.server.request_context import IMAGES, counted_change
from app.services.paging import PageRequest
from app.services.photos.face_reader import FaceReader
from app.wiring.caller import CallerServices, TransactionServices

Result = dict[str, Any]


class StoredResult(RootModel[dict[str, Any]]):
    """A result that is kept for its `ClientRequestToken`."""


class Call:
    """A call whose parameters have been validated: required members are present."""

    def __init__(
        self,
        caller: CallerServices,
        protocol: ProtocolState,
        operation: str,
        parameters: dict[str, Any],
        *,
        region: str,
        scope: MutableMapping[str, Any],
    ) -> None:
        self.caller = caller
        self.parameters = parameters
        self._scales = protocol.scales
        self._operation = operation
        self._region = region
        self._scope = scope

    @property
    def collection(self) -> str:
        """`CollectionId`."""
        name: str = self.parameters["CollectionId"]
        return name

    @property
    def faces(self) -> FaceReader:
        """The caller's face reader."""
        return self.caller.faces()

    async def face_model_version(self) -> str:
        """Return the version of the recognizer that the collection is searched with."""
        return model_version(await self.caller.galleries.recognizer_name(self.collection))

    def version_of(self, recognizer: str | None) -> str:
        """Return a recognizer's version; None stands for the server's first recognizer."""
        return model_version(recognizer or self.caller.state.recognizers.default)

    async def scale(self) -> SimilarityScale:
        """Return the percentage scale of the collection's recognizer; raises `CollectionNotFound`."""
        return await self.scale_of(self.collection)

    async def scale_of(self, collection: str) -> SimilarityScale:
        """Return the percentage scale of a collection's recognizer; raises `CollectionNotFound`."""
        gallery = await self.caller.galleries.find(collection)
        return self._scales[gallery.recognizer]

    def first_scale(self) -> SimilarityScale:
        """Return the percentage scale of the server's first recognizer, which compares photos."""
        return self._scales[self.caller.state.recognizers.default]

    def collection_arn(self, name: str) -> str:
        """Return the ARN of one of the caller's collections."""
        return collection_arn(self._region, self.caller.principal.tenant_id, name)

    def read_collection_arn(self, arn: str) -> str:
        """Return the name of one of the caller's collections in the region of the request.

        Raises `CollectionNotFound`.
        """
        return read_collection_arn(arn, self.caller.principal.tenant_id, self._region)

    def quality_bar(self, default: QualityBar) -> QualityBar:
        """Return `QualityFilter`, or the operation's default."""
        name = self.parameters.get("QualityFilter")
        return QualityBar(name.lower()) if name is not None else default

    def page(self, default: int) -> PageRequest:
        """Return the page that `MaxResults` and `NextToken` ask for."""
        return PageRequest(self.parameters.get("MaxResults") or default, self.parameters.get("NextToken"))

    async def image(self, member: str = "Image") -> bytes:
        """Return the bytes of an `Image`, fetched from the object store if it is an `S3Object`.

        Raises `InvalidParameter`, `ImageTooLarge`, `ObjectUnavailable`.
        """
        self._scope[IMAGES] = self._scope.get(IMAGES, 0) + 1
        image = self.parameters[member]
        if ("Bytes" in image) == ("S3Object" in image):
            raise InvalidParameter(f"{member}: send exactly one of Bytes and S3Object.", field=member)
        if "Bytes" in image:
            sent: bytes = image["Bytes"]
            return sent
        return await self._fetch(image["S3Object"], member)

    async def _fetch(self, s3_object: dict[str, str], member: str) -> bytes:
        for name in ("Bucket", "Name"):
            if name not in s3_object:
                raise InvalidParameter(f"{member}.S3Object.{name}: is missing.", field=f"{member}.S3Object.{name}")
        state = self.caller.state
        fetched = await state.objects.fetch(
            self.caller.principal.tenant_id, s3_object["Bucket"], s3_object["Name"], s3_object.get("Version")
        )
        max_bytes = max(MAX_IMAGE_BYTES, state.settings.max_image_bytes)
        if len(fetched) > max_bytes:
            raise ImageTooLarge(
                f"{member}: the image has {len(fetched)} bytes; the maximum is {max_bytes} bytes.", field=member
            )
        return fetched

    def check_size(self, width: int, height: int, member: str = "Image") -> None:
        """Raise `InvalidParameter` for an image of too few pixels; call this before anything is committed."""
        if min(width, height) < MIN_IMAGE_SIDE:
            raise InvalidParameter(
                f"{member}: it has {width} x {height} pixels; each side must have at least {MIN_IMAGE_SIDE}.",
                field=member,
            )

    def reading(self) -> AbstractAsyncContextManager[TransactionServices]:
        """Open a transaction that changes nothing."""
        return self.caller.transaction()

    def changing(self) -> AbstractAsyncContextManager[TransactionServices]:
        """Open the call's transaction; it counts the call and commits when the block ends."""
        return counted_change(self._scope, self.caller.transaction())

    async def run_once(
        self, services: TransactionServices, work: Callable[[], Awaitable[Result]], *, about: str | None = None
    ) -> Result:
        """Run the work once per `ClientRequestToken`; raises `ResponseReplayed` if it has a stored result.

        `about` is the subject in the result, as `collection/subject`: erasing the subject erases the stored result.
        """
        token = self.parameters.get("ClientRequestToken")
        request = {name: value for name, value in self.parameters.items() if name != "ClientRequestToken"}
        idempotency = services.idempotency(f"rekognition:{self._operation}:{token}" if token else None)

        async def run() -> StoredResult:
            return StoredResult(await work())

        fingerprint = ("rekognition", self._operation, json.dumps(request, sort_keys=True))
        return (await idempotency.once(fingerprint, 200, run, about=about)).root
