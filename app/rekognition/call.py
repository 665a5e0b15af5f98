"""One call of an operation: who, with what, and what the operations share."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from pydantic import RootModel

from app.domain.faces import QualityBar
from app.errors import ImageTooLarge, InvalidParameter
from app.rekognition import MAX_IMAGE_BYTES
from app.rekognition.arns import collection_arn, model_version
from app.rekognition.similarity import SimilarityScale
from app.rekognition.state import ProtocolState
from app.server.request_context import IMAGES
from app.services.paging import PageRequest
from app.services.photos.face_reader import FaceReader
from app.wiring.caller import CallerServices, TransactionServices

Answer = dict[str, Any]


class AnswerBody(RootModel[dict[str, Any]]):
    """An answer to be remembered."""


class Call:
    """The parameters have been read by the service's model: what it demands is there."""

    def __init__(
        self,
        caller: CallerServices,
        protocol: ProtocolState,
        operation: str,
        given: dict[str, Any],
        *,
        region: str,
        scope: MutableMapping[str, Any],
    ) -> None:
        self.caller = caller
        self._scales = protocol.scales
        self.given = given
        self._operation = operation
        self._region = region
        self._scope = scope

    @property
    def collection(self) -> str:
        """`CollectionId`."""
        name: str = self.given["CollectionId"]
        return name

    @property
    def faces(self) -> FaceReader:
        """Reads faces for this caller."""
        return self.caller.faces()

    async def face_model_version(self) -> str:
        """The version of the recognizer that the collection is searched with."""
        return model_version(await self.caller.galleries.recognizer_name(self.collection))

    def version_of(self, recognizer: str | None) -> str:
        """The version of a recognizer; None: of the server's first."""
        return model_version(recognizer or self.caller.state.recognizers.first)

    async def scale(self) -> SimilarityScale:
        """Percentages for the recognizer that the collection is searched with; raises what the search would."""
        gallery = await self.caller.galleries.find(self.collection)
        return self._scales[gallery.recognizer]

    def first_scale(self) -> SimilarityScale:
        """Percentages for the server's first recognizer, which compares photos."""
        return self._scales[self.caller.state.recognizers.first]

    def arn_of(self, collection: str) -> str:
        """The name of a collection of this caller, for all the world."""
        return collection_arn(self._region, self.caller.principal.tenant_id, collection)

    def bar(self, default: QualityBar) -> QualityBar:
        """`QualityFilter`."""
        return QualityBar(self.given["QualityFilter"].lower()) if "QualityFilter" in self.given else default

    def page(self, default: int) -> PageRequest:
        """`MaxResults` and `NextToken`."""
        return PageRequest(self.given.get("MaxResults") or default, self.given.get("NextToken"))

    async def image(self, member: str = "Image") -> bytes:
        """The bytes of an `Image`; raises `InvalidParameter`, `ImageTooLarge`, `ObjectUnavailable`."""
        self._scope[IMAGES] = self._scope.get(IMAGES, 0) + 1
        image = self.given[member]
        if ("Bytes" in image) == ("S3Object" in image):
            raise InvalidParameter(f"{member}: exactly one of Bytes and S3Object must be given.", field=member)
        if "Bytes" in image:
            sent: bytes = image["Bytes"]
            return sent
        place = image["S3Object"]
        for name in ("Bucket", "Name"):
            if name not in place:
                raise InvalidParameter(f"{member}.S3Object.{name}: is missing.", field=f"{member}.S3Object.{name}")
        state = self.caller.state
        fetched = await state.objects.fetch(
            self.caller.principal.tenant_id, place["Bucket"], place["Name"], place.get("Version")
        )
        most = max(MAX_IMAGE_BYTES, state.settings.max_image_bytes)
        if len(fetched) > most:
            raise ImageTooLarge(f"{member}: the image has {len(fetched)} bytes; at most {most} are accepted.")
        return fetched

    def transaction(self) -> AbstractAsyncContextManager[TransactionServices]:
        """Services in one transaction, which commits when the block ends."""
        return self.caller.transaction()

    async def once(
        self, services: TransactionServices, work: Callable[[], Awaitable[Answer]], *, about: str | None = None
    ) -> Answer:
        """Do the work unless this `ClientRequestToken` was answered before; raises `AnswerReplayed` then.

        `about` names the subject that the answer speaks of, with its collection.
        """
        token = self.given.get("ClientRequestToken")
        asked = {name: value for name, value in self.given.items() if name != "ClientRequestToken"}
        idempotency = services.idempotency(f"rekognition:{self._operation}:{token}" if token else None)

        async def remembered() -> AnswerBody:
            return AnswerBody(await work())

        request = ("rekognition", self._operation, json.dumps(asked, sort_keys=True))
        return (await idempotency.once(request, 200, remembered, about=about)).root
