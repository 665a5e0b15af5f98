"""The erasure journal in a real bucket: shared by all hosts, and nothing is lost while the bucket is away."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.persistence.erasure_journal import ErasedKind, ErasureJournal, JournalEntry
from app.persistence.journal_bucket import BucketJournal
from app.persistence.object_address import ObjectAddress
from tests.seaweed import ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY, SeaweedFS, serving_objects


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with serving_objects(tmp_path_factory.mktemp("objects")) as server:
        yield server


def entry() -> JournalEntry:
    return JournalEntry(ErasedKind.SUBJECT, uuid4(), uuid4())


def open_journal(objects: SeaweedFS, prefix: str, file: Path) -> BucketJournal:
    login = {"endpoint": objects.endpoint, "access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY}
    return BucketJournal(ObjectAddress.parse(f"s3://{BUCKET}/{prefix}", **login), ErasureJournal(file))


def read(journal: BucketJournal, marks: dict[object, int] | None = None) -> list[JournalEntry]:
    return [one for _, part in journal.read_after(marks or {}) for one in part.entries]  # type: ignore[arg-type]


def test_every_host_reads_what_each_wrote_and_nothing_twice(objects: SeaweedFS, tmp_path: Path) -> None:
    prefix = uuid4().hex
    first, second = (open_journal(objects, prefix, tmp_path / name) for name in ("first", "second"))
    written = [entry() for _ in range(4)]
    first.append(written[:2])
    second.append(written[2:3])
    first.append(written[3:])
    parts = dict(second.read_after({}))
    assert {one.id for part in parts.values() for one in part.entries} == {one.id for one in written}
    marks = {identity: part.position for identity, part in parts.items()}
    assert list(first.read_after(marks)) == []
    late = entry()
    second.append([late])
    assert [part.entries for _, part in first.read_after(marks)] == [[late]]
    assert not (tmp_path / "first").exists()


def test_while_the_bucket_is_away_the_hosts_file_keeps_the_entries(objects: SeaweedFS, tmp_path: Path) -> None:
    journal = open_journal(objects, uuid4().hex, tmp_path / "file")
    before, during, after = entry(), entry(), entry()
    journal.append([before])
    objects.stop()
    journal.append([during])
    with pytest.raises(OSError, match="does not respond"):
        read(journal)
    objects.start()
    journal.append([after])
    assert {one.id for one in read(journal)} == {before.id, during.id, after.id}
