"""Define the requests and responses of clusters of unknown faces."""

from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.sightings import FaceCluster
from app.schemas import answer_fields as answer
from app.schemas.fields import Id
from app.schemas.request_body import RequestBody
from app.schemas.sightings import CLUSTER_ID, OPERATION_ID

_MAX_FACES = 10_000


class ClusterOut(BaseModel):
    """Unknown faces of an album that probably show one person."""

    cluster_id: UUID = Field(examples=[CLUSTER_ID])
    faces: int = Field(examples=[12])
    photos: int = Field(description="In how many photos they are.", examples=[12])
    samples: list[UUID] = Field(
        description="Up to 4 of the faces, the first to arrive. `GET /albums/{album}/sightings?cluster_id=` lists all.",
        examples=[[answer.FACE_ID]],
    )

    @classmethod
    def of(cls, cluster: FaceCluster) -> "ClusterOut":
        return cls(cluster_id=cluster.id, faces=cluster.faces, photos=cluster.photos, samples=cluster.samples)


class ClusterPage(BaseModel):
    """One page of clusters, those with the most faces first."""

    items: list[ClusterOut]
    next_cursor: answer.NextCursor


class ClusterMergeIn(RequestBody):
    """The cluster whose faces join."""

    cluster_id: Id = Field(examples=[CLUSTER_ID])


class ClusterSplitIn(RequestBody):
    """The faces that do not show the person whom the others show."""

    face_ids: list[Id] = Field(min_length=1, max_length=_MAX_FACES, examples=[[answer.FACE_ID]])


class ChangedClusterOut(BaseModel):
    """What was changed: the operation undoes it."""

    operation_id: UUID = Field(
        description="Undo it with `POST /operations/{operation_id}/undo`.", examples=[OPERATION_ID]
    )
    faces: int = Field(description="How many faces were changed.", examples=[12])


class SplitClusterOut(ChangedClusterOut):
    """What was changed, and the new cluster."""

    cluster_id: UUID = Field(description="The new cluster, with the faces that left.", examples=[CLUSTER_ID])
