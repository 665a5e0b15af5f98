"""Sign forms with which callers upload photos to the bucket themselves, without credentials."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from app.errors import PhotoStoreUnavailable

LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A POST form for one object: the store takes one of up to `max_bytes` under the key of the policy, no other."""

    url: str
    fields: dict[str, str] = field(repr=False)
    """The fields to send before the field `file`. They include the signature."""
    max_bytes: int
    expires_at: datetime


class UploadSigner:
    """Signs forms for one bucket.

    A form, not a signed PUT: only the policy of a form limits the size of what is uploaded.
    """

    def __init__(self, bucket: str, prefix: str, *, endpoint: str | None, region: str, login: dict[str, Any]) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._region = region
        self._login = login
        self._client: Any = None

    async def sign(self, tenant_id: UUID, photo_ids: Sequence[UUID], max_bytes: int) -> list[UploadForm]:
        """Return a form for each photo, valid for 15 minutes; raises `PhotoStoreUnavailable` without credentials."""
        try:
            return await asyncio.to_thread(self._sign, tenant_id, photo_ids, max_bytes)
        except BotoCoreError as exc:
            raise PhotoStoreUnavailable from exc

    def _sign(self, tenant_id: UUID, photo_ids: Sequence[UUID], max_bytes: int) -> list[UploadForm]:
        client = self._client = self._client or self._open()
        expires_at = datetime.now(UTC) + LIFETIME
        forms = []
        for photo_id in photo_ids:
            signed = client.generate_presigned_post(
                self._bucket,
                f"{self._prefix}{tenant_id}/{photo_id}",
                Conditions=[["content-length-range", 1, max_bytes]],
                ExpiresIn=int(LIFETIME.total_seconds()),
            )
            forms.append(UploadForm(signed["url"], signed["fields"], max_bytes, expires_at))
        return forms

    def _open(self) -> Any:
        """Open a client, which sends nothing; without a login it finds the credentials of the host."""
        style: Literal["path", "virtual"] = "path" if self._endpoint is not None else "virtual"
        return botocore.session.get_session().create_client(
            "s3",
            region_name=self._region,
            endpoint_url=self._endpoint,
            config=Config(signature_version="s3v4", s3={"addressing_style": style}),
            **self._login,
        )
