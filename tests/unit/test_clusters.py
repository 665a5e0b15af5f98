"""Clusters of unknown faces: the online ones equal a plain recomputation, and keep what people said."""

from collections.abc import Iterable
from itertools import count
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.decisions import Calibration
from app.matcher.clustering.means import ClusterMeans
from app.matcher.clustering.online import OnlineClusters
from app.matcher.clustering.records import ClusterState, ConstraintConflict, UnknownFace
from app.matcher.clustering.threshold import pick_threshold

THRESHOLD = 0.45
Partition = set[frozenset[UUID]]


class Source:
    """Draws faces of people, alike by a cosine of about 0.55."""

    def __init__(self, people: int = 12, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.centers = unit(self.rng.normal(size=(people, 512)))
        self.numbers = count(1)

    def face(self, person: int, photo: int | None = None, *, is_reliable: bool = True) -> UnknownFace:
        number = next(self.numbers)
        embedding = unit(self.centers[person] + self.rng.normal(size=512) * 0.04)
        photo_id = UUID(int=10**9 + (number if photo is None else photo))
        return UnknownFace(UUID(int=number), embedding, photo_id, is_reliable)

    def faces(self, number: int, photos: int, share_reliable: float = 0.9) -> list[UnknownFace]:
        """Random faces in few photos, so that photos forbid some clusters."""
        rng = self.rng
        return [
            self.face(
                int(rng.integers(len(self.centers))),
                10**6 + int(rng.integers(photos)),
                is_reliable=bool(rng.random() < share_reliable),
            )
            for _ in range(number)
        ]


class Plain:
    """The same rules, with all linkages recomputed from all faces at each step."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.clusters: list[list[UnknownFace]] = []
        self.forbidden: set[frozenset[UUID]] = set()

    def add(self, face: UnknownFace) -> None:
        one, cluster = [face], [face]
        rated = [(self.link(one, other, face.is_reliable), other) for other in self.clusters]
        rated = [(linkage, other) for linkage, other in rated if face.is_reliable or self.has_room(other)]
        allowed = [(linkage, other) for linkage, other in rated if linkage >= self.threshold and self.may(one, other)]
        if allowed:
            cluster = max(allowed, key=lambda pair: pair[0])[1]
            cluster.append(face)
        else:
            self.clusters.append(cluster)
        while face.is_reliable:
            rated = [(self.link(cluster, other), other) for other in self.clusters if other is not cluster]
            fit = [
                (linkage, other) for linkage, other in rated if linkage >= self.threshold and self.may(cluster, other)
            ]
            if not fit:
                return
            best = max(fit, key=lambda pair: pair[0])[1]
            cluster.extend(best)
            self.clusters = [other for other in self.clusters if other is not best]

    def remove(self, face: UnknownFace) -> None:
        self.clusters = [[one for one in cluster if one is not face] for cluster in self.clusters]
        self.clusters = [cluster for cluster in self.clusters if cluster]

    def link(self, first: list[UnknownFace], second: list[UnknownFace], any_first: bool = True) -> float:
        left = [one.embedding for one in first if one.is_reliable or not any_first]
        right = [one.embedding for one in second if one.is_reliable]
        return float((np.stack(left) @ np.stack(right).T).mean()) if left and right else -1.0

    def has_room(self, cluster: list[UnknownFace]) -> bool:
        reliable = sum(face.is_reliable for face in cluster)
        return len(cluster) < 4 * reliable

    def may(self, first: list[UnknownFace], second: list[UnknownFace]) -> bool:
        pairs = [(one, other) for one in first for other in second]
        return not any(a.photo_id == b.photo_id or frozenset((a.id, b.id)) in self.forbidden for a, b in pairs)

    @property
    def partition(self) -> Partition:
        return {frozenset(face.id for face in cluster) for cluster in self.clusters}


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def partition(clusters: OnlineClusters, faces: Iterable[UnknownFace]) -> Partition:
    ids = {clusters.find_cluster(face.id) for face in faces}
    return {frozenset(clusters.state(one).faces) for one in ids if one is not None}


def check_sums(clusters: OnlineClusters, faces: Iterable[UnknownFace]) -> None:
    """Every stored sum, count and photo is that of the cluster's faces."""
    by_cluster: dict[UUID, list[UnknownFace]] = {}
    for face in faces:
        found = clusters.find_cluster(face.id)
        assert found is not None
        by_cluster.setdefault(found, []).append(face)
    assert len(clusters) == len(by_cluster)
    for cluster_id, members in by_cluster.items():
        state = clusters.state(cluster_id)
        reliable = [face.embedding for face in members if face.is_reliable]
        assert state.count == len(reliable)
        assert state.sum == pytest.approx(np.sum(reliable, axis=0) if reliable else np.zeros(512), abs=1e-5)
        assert set(state.photos) == {face.photo_id for face in members}
        assert len(state.photos) == len(members)


@pytest.mark.parametrize("seed", range(6))
def test_clusters_equal_a_plain_recomputation(seed: int) -> None:
    source = Source(seed=seed)
    share = 0.9 if seed % 2 else 0.4
    clusters, plain = OnlineClusters(THRESHOLD), Plain(THRESHOLD)
    present: list[UnknownFace] = []
    for face in source.faces(150, 60, share):
        clusters.add(face)
        plain.add(face)
        present.append(face)
        if source.rng.random() < 0.2:
            gone = present.pop(int(source.rng.integers(len(present))))
            clusters.remove(gone)
            plain.remove(gone)
        if source.rng.random() < 0.2 and len(present) > 1:
            first, second = (present[index].id for index in source.rng.choice(len(present), 2, replace=False))
            if clusters.find_cluster(first) != clusters.find_cluster(second):
                clusters.forbid(first, second)
                plain.forbidden.add(frozenset((first, second)))
        assert partition(clusters, present) == plain.partition
    check_sums(clusters, present)
    assert any(len(cluster) > 3 for cluster in plain.partition)


def test_a_change_names_what_merged() -> None:
    direction = np.eye(512, dtype=np.float32)
    first, second = direction[0], unit(0.3 * direction[0] + direction[1])
    clusters = OnlineClusters(THRESHOLD)
    faces = [UnknownFace(UUID(int=i), e, UUID(int=100 + i), True) for i, e in enumerate((first, second), 1)]
    changes = [clusters.add(face) for face in faces]
    assert [change.created for change in changes] == [True, True]
    assert [change.merged for change in changes] == [(), ()]
    between = UnknownFace(UUID(int=3), unit(first + second), UUID(int=103), True)
    change = clusters.add(between)
    assert not change.created
    assert {change.joined, *change.merged} == {one.joined for one in changes}
    assert len(clusters) == 1
    assert clusters.state(change.joined).count == 3


def test_unreliable_faces_join_but_never_bridge() -> None:
    direction = np.eye(512, dtype=np.float32)
    first, second = direction[0], unit(0.3 * direction[0] + direction[1])
    clusters = OnlineClusters(THRESHOLD)
    for number, embedding in enumerate((first, second), 1):
        clusters.add(UnknownFace(UUID(int=number), embedding, UUID(int=100 + number), True))
    sums = [clusters.state(one).sum for one in (clusters.find_cluster(UUID(int=n)) for n in (1, 2)) if one]
    for number in range(3, 20):
        change = clusters.add(UnknownFace(UUID(int=number), unit(first + second), UUID(int=100 + number), False))
        assert change.created == (number >= 9)  # three per reliable face
        assert change.merged == ()
    states = [clusters.state(one) for one in (clusters.find_cluster(UUID(int=n)) for n in (1, 2)) if one]
    assert len({state.id for state in states}) == 2
    assert [state.count for state in states] == [1, 1]
    assert np.array_equal(sums, [state.sum for state in states])
    alone = clusters.add(UnknownFace(UUID(int=50), direction[9], UUID(int=150), False))
    again = clusters.add(UnknownFace(UUID(int=51), direction[9], UUID(int=151), True))
    assert alone.created
    assert again.created
    assert clusters.state(alone.joined).count == 0


def test_saved_clusters_go_on_as_if_never_saved() -> None:
    source = Source(seed=8)
    faces = source.faces(200, photos=90)
    whole, before = OnlineClusters(THRESHOLD), OnlineClusters(THRESHOLD)
    for face in faces[:120]:
        whole.add(face)
        before.add(face)
    after = OnlineClusters(THRESHOLD)
    after.load(before.state(one) for one in {before.find_cluster(face.id) for face in faces[:120]} if one)
    for face in faces[120:]:
        whole.add(face)
        after.add(face)
    assert partition(whole, faces) == partition(after, faces)
    check_sums(after, faces)


@pytest.mark.parametrize("constraints_first", [True, False])
def test_not_this_person_holds_after_save_and_load(constraints_first: bool) -> None:
    source = Source(people=5, seed=3)
    faces = [source.face(index % 5) for index in range(100)]
    clusters = OnlineClusters(THRESHOLD)
    for face in faces:
        clusters.add(face)
    forbidden: list[tuple[UUID, UUID]] = []
    for face in faces[::9]:
        left = clusters.remove(face)
        pair = (face.id, min(clusters.state(left).faces))
        clusters.forbid(*pair)
        clusters.add(face)
        forbidden.append(pair)
    loaded = OnlineClusters(THRESHOLD)
    states = [clusters.state(one) for one in {clusters.find_cluster(face.id) for face in faces} if one]
    if not constraints_first:
        loaded.load(states)
    for pair in forbidden:
        loaded.forbid(*pair)
    if constraints_first:
        loaded.load(states)
    for index in range(200):
        loaded.add(source.face(index % 5))
    for first, second in forbidden:
        assert loaded.find_cluster(first) != loaded.find_cluster(second)


def test_a_person_merges_clusters_unless_something_separates_them() -> None:
    source = Source(people=3)
    a, b, c = (source.face(person) for person in range(3))
    clusters = OnlineClusters(THRESHOLD)
    ids = [clusters.add(face).joined for face in (a, b, c)]
    merge = clusters.merge(ids[0], ids[1])
    assert (merge.change.joined, merge.change.merged, merge.required) == (ids[0], (ids[1],), (a.id, b.id))
    with pytest.raises(ConstraintConflict) as caught:
        clusters.forbid(a.id, b.id)
    assert caught.value.pairs == ((a.id, b.id),)
    clusters.forbid(c.id, b.id)
    with pytest.raises(ConstraintConflict) as caught:
        clusters.merge(ids[2], ids[0])
    assert caught.value.pairs == ((c.id, b.id),)
    with pytest.raises(ConstraintConflict) as caught:
        clusters.require(a.id, c.id)
    assert caught.value.pairs == ((b.id, c.id),)
    clusters.release(b.id, c.id)
    assert clusters.require(a.id, c.id) is not None
    assert len(clusters) == 1


def test_two_faces_of_one_photo_never_share_a_cluster() -> None:
    source = Source(people=1)
    first, second = source.face(0, photo=7), source.face(0, photo=7)
    clusters = OnlineClusters(THRESHOLD)
    ids = [clusters.add(face).joined for face in (first, second)]
    assert ids[0] != ids[1]
    with pytest.raises(ConstraintConflict) as caught:
        clusters.merge(*ids)
    assert caught.value.photos == (first.photo_id,)
    for _ in range(10):
        clusters.add(source.face(0))
    assert clusters.find_cluster(first.id) != clusters.find_cluster(second.id)


def test_a_required_face_returns_to_its_cluster() -> None:
    source = Source(people=2)
    first, second = source.face(0), source.face(1)
    clusters = OnlineClusters(THRESHOLD)
    assert clusters.require(first.id, second.id) is None
    joined = clusters.add(first).joined
    assert clusters.add(second).joined == joined
    assert clusters.remove(second) == joined
    assert clusters.state(joined).sum == pytest.approx(first.embedding, abs=1e-6)
    assert clusters.add(second).joined == joined
    clusters.remove(second)
    clusters.forget(second.id)
    assert clusters.add(second).created


def test_removed_faces_leave_nothing() -> None:
    source = Source()
    faces = source.faces(60, photos=60)
    clusters = OnlineClusters(THRESHOLD)
    for face in faces:
        clusters.add(face)
    for face in faces:
        clusters.remove(face)
    assert len(clusters) == 0
    with pytest.raises(KeyError):
        clusters.remove(faces[0])
    assert not clusters._means._blocks[0].sums.any()


def test_a_split_finds_the_people_and_holds() -> None:
    source = Source(people=2)
    faces = [source.face(index % 2) for index in range(20)]
    weak = source.face(1, is_reliable=False)
    clusters = OnlineClusters(THRESHOLD)
    for face in faces:
        clusters.add(face)
    first, second = clusters.find_cluster(faces[0].id), clusters.find_cluster(faces[1].id)
    assert first is not None
    assert second is not None
    assert clusters.add(weak).joined == second
    merge = clusters.merge(first, second)
    members = [*faces, weak]
    held = clusters.split(first, members, 0.5)
    assert len(held) == 1 or any(set(merge.required) <= set(group) for group in held)
    clusters.release(*merge.required)
    for groups in (clusters.split(first, members), clusters.split(first, members, THRESHOLD)):
        assert [set(group) for group in groups] == [
            {weak.id, *(face.id for face in faces[1::2])},
            {face.id for face in faces[::2]},
        ]
    by_id = {face.id: face for face in members}
    done = clusters.separate(first, [[by_id[one] for one in group] for group in groups])
    assert done.clusters[0] == first
    assert len(done.forbidden) == 1
    check_sums(clusters, members)
    for index in range(20):
        clusters.add(source.face(index % 2))
    assert len(clusters) == 2
    assert clusters.find_cluster(faces[0].id) != clusters.find_cluster(faces[1].id)


def test_a_split_keeps_cannot_links() -> None:
    source = Source(people=1)
    faces = [source.face(0) for _ in range(6)]
    clusters = OnlineClusters(THRESHOLD)
    for first in faces[:3]:
        for second in faces[:3]:
            if first.id < second.id:
                clusters.forbid(first.id, second.id)
    for face in faces:
        clusters.add(face)
    assert len(clusters) == 3
    largest = max((clusters.find_cluster(face.id) for face in faces), key=lambda one: len(clusters.state(one).faces))  # type: ignore[arg-type]
    assert largest is not None
    members = [face for face in faces if clusters.find_cluster(face.id) == largest]
    with pytest.raises(ValueError, match="exactly the faces"):
        clusters.split(largest, members[1:])
    assert sorted(len(group) for group in clusters.split(largest, members, 0.99)) == [1] * len(members)


def test_a_scan_finds_every_mean_that_reaches_the_threshold() -> None:
    rng = np.random.default_rng(5)
    vectors = unit(rng.normal(size=(400, 512)) + rng.normal(size=512) * 0.9)
    counts = rng.integers(1, 6, 400)
    means = ClusterMeans()
    for vector, number in zip(vectors, counts, strict=True):
        means.add(vector * number * rng.choice([1.0, 0.6]), int(number))
    for row in range(0, 400, 7):
        means.remove(row)
    exact = np.stack([means.get_mean(row) for row in range(400)]) @ vectors[1]
    for threshold in (0.1, 0.3, 0.44, 0.5, 0.9):
        rows, products = means.find(vectors[1], threshold)
        assert set(rows.tolist()) == set(np.flatnonzero(exact >= threshold).tolist())
        assert (np.diff(products) <= 0).all()


def test_the_threshold_comes_from_the_calibration() -> None:
    calibration = Calibration(((1e-3, 0.3), (1e-4, 0.4), (1e-5, 0.5)), "drawn")
    assert pick_threshold(calibration) == pick_threshold(calibration, 5_000) == pytest.approx(0.5 - 0.0301, abs=1e-4)
    assert pick_threshold(calibration, 10_000) == pytest.approx(0.5)
    assert pick_threshold(calibration, 10**12) == 1.0
    assert pick_threshold(Calibration(((1e-1, -0.5), (1e-2, -0.4)), "drawn")) == 0.1


def test_wrong_calls_are_refused() -> None:
    face = Source().face(0)
    clusters = OnlineClusters(THRESHOLD)
    clusters.add(face)
    state = clusters.state(next(iter([clusters.find_cluster(face.id)])) or UUID(int=0))
    assert isinstance(state, ClusterState)
    with pytest.raises(ValueError, match="added before"):
        clusters.add(face)
    with pytest.raises(ValueError, match="loaded already"):
        clusters.load([state])
    with pytest.raises(ValueError, match="threshold"):
        OnlineClusters(0.01)
    with pytest.raises(ValueError, match="two different"):
        clusters.merge(state.id, state.id)
    with pytest.raises(ValueError, match="two different"):
        clusters.forbid(UUID(int=7), UUID(int=7))


def test_a_misplaced_face_moves_and_what_people_said_stays() -> None:
    source = Source(people=2)
    first, second = [source.face(0) for _ in range(4)], [source.face(1) for _ in range(4)]
    clusters = OnlineClusters(THRESHOLD)
    for face in (*first, *second):
        clusters.add(face)
    assert not any(clusters.is_misplaced(face) for face in (*first, *second))
    wrong = source.face(1)
    home, other = clusters.find_cluster(first[0].id), clusters.find_cluster(second[0].id)
    assert home is not None
    assert other is not None
    clusters.remove(second[0])
    clusters.require(wrong.id, first[0].id)
    assert clusters.add(wrong).joined == home
    assert not clusters.is_misplaced(wrong)  # a person said so
    clusters.remove(wrong)
    clusters.forget(wrong.id)
    clusters.load([ClusterState(UUID(int=999), wrong.embedding + first[0].embedding, 2, [wrong.photo_id], [wrong.id])])
    assert clusters.is_misplaced(wrong)  # it is in a cluster of two people
    clusters.forbid(wrong.id, second[1].id)
    assert clusters.is_misplaced(wrong)  # and would be alone
    clusters.remove(wrong)
    assert clusters.add(wrong).joined not in {home, other}


def test_moving_misplaced_faces_undoes_the_order_of_arrival() -> None:
    direction = np.eye(512, dtype=np.float32)
    first, between, *others = (
        UnknownFace(UUID(int=number), embedding, UUID(int=100 + number), True)
        for number, embedding in enumerate(
            (direction[0], unit(direction[0] + 1.2 * direction[1]), direction[1], direction[1])
        )
    )
    found = []
    for order in ((first, between, *others), (*others, between, first)):
        clusters = OnlineClusters(THRESHOLD)
        for face in order:
            clusters.add(face)
        found.append(partition(clusters, order))
        for face in order:
            if clusters.is_misplaced(face):
                clusters.remove(face)
                clusters.add(face)
        found.append(partition(clusters, order))
    assert found[0] != found[1]
    assert found[1] == found[2] == found[3] == {frozenset({first.id}), frozenset({between.id, *(f.id for f in others)})}
