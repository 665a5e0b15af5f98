"""Define the fields that responses share, each with an example for readers of the OpenAPI document."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

RECOGNIZER = "w600k_r50:4c06341c33c2ca1f"
"""The recognizer of all examples."""
FACE_ID = "aa6b4d99-8305-48a8-8ad1-e5994b7e7bee"
ACTOR = "user:5b0e8f0a-6f5d-4a52-9d5e-0f6f3c0a9a11"
CREATED_AT, UPDATED_AT = "2026-01-17T09:30:00Z", "2026-03-02T14:05:11Z"

TenantId = Annotated[UUID, Field(examples=["0b3a8a52-6d0c-4f6e-8a53-2f1f0c3f7a10"])]
UserId = Annotated[UUID, Field(examples=["5b0e8f0a-6f5d-4a52-9d5e-0f6f3c0a9a11"])]
KeyId = Annotated[UUID, Field(examples=["c2a7d0de-93c4-4b0e-8f0f-2b1a4f6f7d35"])]
FaceId = Annotated[UUID, Field(examples=[FACE_ID])]
TenantName = Annotated[str, Field(examples=["Acme"])]
PlanName = Annotated[str, Field(examples=["free"])]
EmailText = Annotated[str, Field(examples=["ada@example.com"])]
Collection = Annotated[str, Field(examples=["default"])]
SubjectText = Annotated[str, Field(examples=["emp-1042"])]
Name = Annotated[str, Field(examples=["Ada Acker"])]
Recognizer = Annotated[str, Field(examples=[RECOGNIZER])]
Actor = Annotated[str, Field(examples=[ACTOR])]
DetectionScore = Annotated[float, Field(examples=[0.9116])]
CreatedAt = Annotated[datetime, Field(examples=[CREATED_AT])]
UpdatedAt = Annotated[datetime, Field(examples=[UPDATED_AT])]
ExpiresAt = Annotated[datetime, Field(examples=["2027-12-31T23:59:59Z"])]
NextCursor = Annotated[
    str | None,
    Field(
        description="Send it as `cursor` to get the next page. Null on the last page.",
        examples=["eyJhZnRlciI6ImVtcC0xMDQyIn0.c2lnbmF0dXJl"],
    ),
]
"""The cursor of each list."""
Rates = Annotated[
    dict[str, str],
    Field(description="Rate limits by permission.", examples=[{"recognize": "60/minute", "register": "60/minute"}]),
]
QUALITY = {"score": 71.3, "face_pixels": 156.2, "sharpness": 151.8, "brightness": 94.5, "yaw_deg": 3.2}
"""Some of the measurements that are stored with each template."""
