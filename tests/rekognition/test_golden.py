"""The worked examples that come with botocore: their requests are taken, and the answers have the shapes of theirs."""

from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from tests import pictures
from tests.rekognition.conftest import Tenant

EXAMPLES = Loader().load_service_model("rekognition", "examples-1")["examples"]
MODEL = ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")
ANSWERED = sorted(set(EXAMPLES) - {"DetectLabels"})

LEFT_OUT = {"OrientationCorrection", "SourceImageOrientationCorrection", "TargetImageOrientationCorrection"}
"""Of models that are no longer in use; AWS leaves them out as well."""


def with_bytes(value: Any, photo: bytes) -> Any:
    """The same parameters with photos as bytes: there is no bucket of theirs here."""
    if isinstance(value, dict):
        return {
            name: {"Bytes": photo} if name.endswith("Image") else with_bytes(item, photo)
            for name, item in value.items()
        }
    return value


def paths(value: Any, prefix: str = "") -> set[str]:
    """Every member of an answer, by its path."""
    if isinstance(value, dict):
        found = set[str]()
        for name, item in value.items():
            found |= {f"{prefix}.{name}"} | paths(item, f"{prefix}.{name}")
        return found
    if isinstance(value, list):
        return set[str]().union(*(paths(item, prefix) for item in value))
    return set()


def check(shape: Any, value: Any, path: str) -> None:
    """That an answer, as boto3 parsed it, keeps every limit of the service's model."""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), path
        assert set(shape.required_members) <= set(value), path
        for name, item in value.items():
            check(shape.members[name], item, f"{path}.{name}")
        return
    size = value if isinstance(value, int | float) else len(value) if hasattr(value, "__len__") else None
    assert low is None or size is None or size >= low, path
    assert high is None or size is None or size <= high, path
    if shape.type_name == "list":
        for item in value:
            check(shape.member, item, path)


@pytest.fixture
def prepared(tenant: Tenant) -> dict[str, Any]:
    """A client with the collection of the examples, and a face of it."""
    client = tenant.client()
    client.create_collection(CollectionId="myphotos")
    indexed = client.index_faces(CollectionId="myphotos", Image={"Bytes": pictures.photo(1)})
    client.index_faces(CollectionId="myphotos", Image={"Bytes": pictures.photo(1, 1)})
    return {"client": client, "FaceId": indexed["FaceRecords"][0]["Face"]["FaceId"]}


@pytest.mark.parametrize("operation", ANSWERED)
def test_a_worked_example(prepared: dict[str, Any], operation: str) -> None:
    from botocore import xform_name

    (example,) = EXAMPLES[operation]
    client, given = prepared["client"], with_bytes(example["input"], pictures.photo(1, 2))
    if "FaceId" in given:
        given["FaceId"] = prepared["FaceId"]
    if "FaceIds" in given:
        given["FaceIds"] = [prepared["FaceId"]]
    if operation == "CreateCollection":
        client.delete_collection(CollectionId="myphotos")
    answer = getattr(client, xform_name(operation))(**given)
    del answer["ResponseMetadata"]
    check(MODEL.operation_model(operation).output_shape, answer, operation)
    wanted = {path for path in paths(example["output"]) if path.lstrip(".") not in LEFT_OUT}
    assert wanted <= paths(answer)
