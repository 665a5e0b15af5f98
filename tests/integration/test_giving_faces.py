"""Faces given to somebody while others take them away."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import numpy as np

from app.permissions import Plan
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.pools import PoolRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateRepository, TemplateStore
from app.persistence.repositories.usage import UsageRepository
from app.security.cursors import CursorSigner
from app.services.audit.trail import AuditTrails
from app.services.collections.lookup import CollectionLookup
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.people.assignment import AssignmentRefusal, AssignmentService
from app.services.people.consent import ConsentGate
from app.services.people.face_storage import FaceStorage
from app.services.people.rules import anonymous_name
from app.services.tenancy.quotas import QuotaService
from tests.integration.conftest import FACE, KEYRING, PROTECTOR, Shelf, random_embeddings


class TakenAwayMeanwhile(CollectionFaceRepository):
    """As if the faces had been somebody's when it was asked whose, and nobody's a moment later."""

    async def find_anonymous_subject_ids(self, collection_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
        return set()


async def test_a_face_that_is_nobodys_only_since_it_was_looked_for_is_not_given(shelf: Shelf) -> None:
    (embedding,) = random_embeddings(np.random.default_rng(1), 1)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        subjects, owner = SubjectRepository(session, shelf.tenant_id), uuid4()
        face = NewFace.of(owner, FACE, {"rec:1": embedding})
        await subjects.add_anonymous(shelf.collection_id, {owner: anonymous_name(face.id)})
        await subjects.upsert(shelf.collection_id, "ada", None, None)
        store = TemplateStore(session, shelf.tenant_id, PROTECTOR)
        await store.add_all([face], collection_id=shelf.collection_id, source="test")
    for faces_of, moved, refused in (
        (TakenAwayMeanwhile, [], [AssignmentRefusal.MISSING]),
        (CollectionFaceRepository, [face.id], []),
    ):
        async with shelf.database.transaction(shelf.tenant_id) as session:
            subjects = SubjectRepository(session, shelf.tenant_id)
            storage = FaceStorage(
                TemplateStore(session, shelf.tenant_id, PROTECTOR),
                ConsentGate(subjects, PolicyRepository(session, shelf.tenant_id)),
                QuotaService(UsageRepository(session, shelf.tenant_id), Plan("test")),
                AuditTrails(KEYRING).open(session, shelf.tenant_id, "test"),
                PoolRepository(session, shelf.tenant_id),
            )
            service = AssignmentService(
                CollectionLookup(
                    CollectionRepository(session, shelf.tenant_id), RecognizerDirectory({"rec:1": "test"})
                ),
                subjects,
                faces_of(session, shelf.tenant_id),
                TemplateRepository(session, shelf.tenant_id),
                storage,
                IdempotencyRecords(session, shelf.tenant_id),
                CursorSigner(KEYRING),
                may_delete=True,
            )
            done = await service.assign("default", "ada", [face.id], min_similarity=0.5)
        assert (done.moved, [one.reason for one in done.refused]) == (moved, refused)
