"""From one recognizer to another and back, in one server, from photos on disk and in an object store."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from tests import pictures
from tests.commands import Commands
from tests.rekognition.conftest import Tenant, bucket, make_tenant, service_env
from tests.servers import serving

__all__ = ["bucket", "service_env"]

GROUP = pictures.group(11, 12)


@pytest.fixture(scope="module")
def env(service_env: dict[str, str], database_url: str, other_pack: Path, bucket: str) -> dict[str, str]:
    """Of a server, and of the operator's commands: both packs, and an object store."""
    return {
        **service_env,
        "VULTUS_EXTRA_MODEL_PACKS": str(other_pack),
        "VULTUS_DATABASE_ADMIN_URL": database_url,
        "VULTUS_OBJECT_STORE_ENDPOINTS": bucket,
    }


@pytest.fixture(scope="module")
def two(env: dict[str, str]) -> Iterator[str]:
    with serving(**{name: value for name, value in env.items() if name != "VULTUS_DATABASE_ADMIN_URL"}) as (base, _):
        yield base


@pytest.fixture
def tenant(two: str) -> Iterator[Tenant]:
    with make_tenant(two) as made:
        yield made


class Operator:
    """Runs `vultus models` for a tenant's collection."""

    def __init__(self, commands: Commands, env: dict[str, str], tenant: Tenant, other_pack: Path) -> None:
        self._commands = commands
        self._env = env
        self._tenant = tenant
        self._pack = str(other_pack)

    def run(self, command: str, *arguments: str, to: str | None = None) -> "subprocess.CompletedProcess[str]":
        goal = ["--to", to or self._pack] if command in ("migrate", "switch") else []
        return self._commands.run("models", command, *goal, "--tenant", self._tenant.id, *arguments, env=self._env)

    def done(self, command: str, *arguments: str, to: str | None = None) -> str:
        ran = self.run(command, *arguments, to=to)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def operator(commands: Commands, env: dict[str, str], tenant: Tenant, other_pack: Path) -> Operator:
    return Operator(commands, env, tenant, other_pack)


def register(tenant: Tenant, subject: str, seed: int, take: int = 0) -> None:
    files = [("images", ("1.jpg", pictures.photo(seed, take), "image/jpeg"))]
    tenant.native.post("/register", data={"subject": subject}, files=files).raise_for_status()


def who(tenant: Tenant, seed: int) -> str | None:
    """Who a photo's person is said to be."""
    files = {"image": ("photo.jpg", pictures.photo(seed, 1), "image/jpeg")}
    answer = tenant.native.post("/recognize", files=files).raise_for_status().json()
    matches = [one for one in answer["faces"][0]["candidates"] if one["decision"] == "match"]
    return matches[0]["subject"] if matches else None


def faces_by_recognizer(tenant: Tenant, collection: str = "default") -> list[int]:
    """How many faces the first recognizer embedded, and how many the other."""
    shown = tenant.native.get(f"/collections/{collection}/recognizers").raise_for_status().json()["recognizers"]
    return [one["faces"] for one in sorted(shown, key=lambda one: one["pack"] == "other")]


def test_there_and_back_with_photos_in_folders(tenant: Tenant, operator: Operator, tmp_path: Path) -> None:
    for subject, seed in (("ada", 1), ("bob", 2), ("cy", 3)):
        register(tenant, subject, seed)
    for name, photo in {
        "ada/1.jpg": pictures.photo(1),
        "bob/another.jpg": pictures.photo(2, 3),
        "nobody-known/1.jpg": pictures.photo(4),
        "ada/lake.jpg": pictures.landscape(),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(photo)
    (tmp_path / "ada" / "party.jpg").write_bytes(pictures.group(2, 1))  # ada is not the larger face
    arguments = ("--photos", str(tmp_path), "--subjects")
    some = operator.run("migrate", *arguments)
    assert some.returncode == 1
    assert "2 faces stored from 2 photos; 1 photos already stored; 2 photos failed." in some.stdout
    assert "matches subject 'nobody-known'" in some.stderr
    assert "lake.jpg" in some.stderr
    ledger = ("--progress", str(tmp_path / "looked-at"))
    assert "0 faces stored from 0 photos; 3 photos already" in operator.run("migrate", *arguments, *ledger).stdout
    rest = operator.run("migrate", *arguments, *ledger).stdout
    assert "Skipping 2 photos" in rest
    assert "1 photos already stored; 2 photos failed" in rest  # one shows somebody else as well
    assert [who(tenant, seed) for seed in (1, 2, 3)] == ["ada", "bob", "cy"]
    assert "recognizer_incomplete" in operator.run("switch").stderr
    assert operator.done("coverage", "--missing", operator._pack, "--json").split() == ['[{"subject":', '"cy"}]']
    register(tenant, "cy", 3, 2)  # registered meanwhile: with both
    assert "searched" in operator.done("switch")
    assert [who(tenant, seed) for seed in (1, 2, 3)] == ["ada", "bob", "cy"]
    first = operator._env["VULTUS_MODEL_PACK"]
    operator.done("switch", "--alone", to=first)
    assert [who(tenant, seed) for seed in (1, 2, 3)] == ["ada", "bob", "cy"]
    assert faces_by_recognizer(tenant) == [4, 3]
    operator.done("erase", "--recognizer", operator._pack)  # as a directory; `coverage` names it otherwise
    assert faces_by_recognizer(tenant) == [4, 0]
    again = operator.run("migrate", *arguments, *ledger)  # what it notes as done was erased
    assert again.returncode == 1
    assert "erased since" in again.stderr
    assert "Traceback" not in again.stderr


def test_faces_keep_their_ids_and_their_owners(tenant: Tenant, operator: Operator, tmp_path: Path) -> None:
    rekognition = tenant.client()
    rekognition.create_collection(CollectionId="people")
    people = {"CollectionId": "people"}
    records = rekognition.index_faces(**people, Image={"Bytes": GROUP}, ExternalImageId="party")["FaceRecords"]
    single = rekognition.index_faces(**people, Image={"Bytes": pictures.photo(13)})["FaceRecords"]
    ids = [record["Face"]["FaceId"] for record in (*records, *single)]
    rekognition.create_user(**people, UserId="ada")
    rekognition.associate_faces(**people, UserId="ada", FaceIds=ids[2:])
    before = rekognition.describe_collection(**people)
    for name, photo in {"a.jpg": GROUP, "b.jpg": pictures.photo(13), "stranger.jpg": pictures.photo(14)}.items():
        (tmp_path / name).write_bytes(photo)
    ran = operator.run("migrate", "--collection", "people", "--photos", str(tmp_path))
    assert "3 faces stored from 2 photos; 0 photos already stored; 1 photos failed." in ran.stdout
    assert "shows no face that is stored" in ran.stderr
    operator.done("switch", "--collection", "people")
    after = rekognition.describe_collection(**people)
    assert after["FaceModelVersion"] != before["FaceModelVersion"]
    assert (after["FaceCount"], after["UserCount"]) == (3, 1)
    listed = rekognition.list_faces(**people)["Faces"]
    assert sorted(face["FaceId"] for face in listed) == sorted(ids)
    assert {face.get("ExternalImageId") for face in listed} == {"party", None}

    def found(photo: bytes) -> list[tuple[str, str | None]]:
        matches = rekognition.search_faces_by_image(**people, Image={"Bytes": photo})["FaceMatches"]
        return [(match["Face"]["FaceId"], match["Face"].get("UserId")) for match in matches]

    assert found(pictures.photo(13, 1)) == [(ids[2], "ada")]
    again = rekognition.index_faces(**people, Image={"Bytes": GROUP}, ExternalImageId="party")["FaceRecords"]
    assert sorted(record["Face"]["FaceId"] for record in again) == sorted(ids[:2])
    rekognition.disassociate_faces(**people, UserId="ada", FaceIds=ids[2:])
    assert found(pictures.photo(13, 1)) == [(ids[2], None)]
    rekognition.associate_faces(**people, UserId="ada", FaceIds=ids[2:])
    operator.done("switch", "--collection", "people", to=operator._env["VULTUS_MODEL_PACK"])
    assert found(pictures.photo(13, 1)) == [(ids[2], "ada")]  # what was done to the face was done to both
    rekognition.delete_faces(**people, FaceIds=ids[:2])
    rekognition.delete_user(**people, UserId="ada")
    rekognition.delete_faces(**people, FaceIds=ids[2:])
    assert faces_by_recognizer(tenant, "people") == [0, 0]


def test_indexing_the_same_photos_again_is_a_way_over_too(tenant: Tenant, operator: Operator, tmp_path: Path) -> None:
    rekognition = tenant.client()
    rekognition.create_collection(CollectionId="people")

    def index() -> list[str]:
        answer = rekognition.index_faces(CollectionId="people", Image={"Bytes": GROUP}, ExternalImageId="party")
        return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]

    ids = index()
    (tmp_path / "nobody.jpg").write_bytes(pictures.photo(99))
    operator.run("migrate", "--collection", "people", "--photos", str(tmp_path))
    assert faces_by_recognizer(tenant, "people") == [2, 0]
    assert index() == ids
    assert faces_by_recognizer(tenant, "people") == [2, 2]
    assert "searched" in operator.done("switch", "--collection", "people")


def test_photos_in_the_tenants_object_store(tenant: Tenant, operator: Operator, bucket: str, tmp_path: Path) -> None:
    register(tenant, "ada", 1)
    body = {"endpoint": bucket, "access_key_id": "reader", "secret_access_key": "s3 secret"}
    tenant.native.put("/object-store", json=body).raise_for_status()
    options: dict[str, Any] = {"endpoint_url": bucket, "region_name": "us-east-1", "aws_access_key_id": "reader"}
    s3 = boto3.client(
        "s3", **options, aws_secret_access_key="s3 secret", config=Config(s3={"addressing_style": "path"})
    )
    for index in range(3):
        s3.put_object(Bucket="photos", Key=f"staff/ümläut & +{index}.jpg", Body=pictures.photo(50 + index))
    s3.put_object(Bucket="photos", Key="staff/notes.txt", Body=b"no photo")
    s3.close()
    ran = operator.run("migrate", "--photos", "s3://photos/staff/")
    assert "0 faces stored from 0 photos; 0 photos already stored; 3 photos failed" in ran.stdout
    assert "s3://photos/staff/ümläut & +1.jpg" in ran.stderr
    assert "1 faces stored from 1 photos" in operator.done("migrate", "--photos", "s3://photos/people/")
    manifest = tmp_path / "photos.csv"
    manifest.write_text("photo,subject\ns3://photos/people/ada löwe+1.jpg,ada\n", encoding="utf-8")
    assert "0 faces stored from 0 photos; 1 photos already" in operator.done("migrate", "--photos", str(manifest))
    assert "the object or the bucket does not exist" in operator.run("migrate", "--photos", "s3://nowhere/").stderr
    assert "contains no photos" in operator.run("migrate", "--photos", "s3://photos/void/").stderr


def test_what_cannot_be_gone_over_from(tenant: Tenant, operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(pictures.photo(1))
    photos = ("--photos", str(tmp_path))
    assert "has no faces, so there is nothing to migrate" in operator.run("migrate", *photos).stderr
    register(tenant, "ada", 1)
    same = operator.run("migrate", *photos, to=operator._env["VULTUS_MODEL_PACK"])
    assert "already" in same.stderr
    assert "collection_not_found" in operator.run("migrate", *photos, "--collection", "nowhere").stderr
    assert "neither a directory nor a manifest" in operator.run("migrate", "--photos", "/nowhere").stderr
    assert "--photos is empty" in operator.run("migrate", "--photos", "").stderr
    assert "No model pack: /no/pack is not a directory" in operator.run("migrate", *photos, to="/no/pack").stderr
    nobody = operator.run("coverage", "--tenant", str(uuid4()))
    assert "tenant_not_found" in nobody.stderr


def test_going_back_alone_needs_nothing_of_the_one_before(
    commands: Commands, tenant: Tenant, operator: Operator, env: dict[str, str], tmp_path: Path
) -> None:
    register(tenant, "ada", 1)
    (tmp_path / "1.jpg").write_bytes(pictures.photo(1))
    done = operator.done("migrate", "--photos", str(tmp_path))
    assert "store new faces with both recognizers" in done
    operator.done("switch", to="other")  # by its name, as `coverage` prints it
    first, missing = env["VULTUS_MODEL_PACK"], ("coverage", "--missing", "other", "--json")
    assert operator.done(*missing).split() == ["[]"]
    without = Operator(commands, {**env, "VULTUS_EXTRA_MODEL_PACKS": ""}, tenant, tmp_path)
    refused = without.run("switch", to=first)
    assert refused.returncode == 1
    assert "--alone" in refused.stderr
    without.done("switch", "--alone", to=first)
    assert who(tenant, 1) == "ada"
