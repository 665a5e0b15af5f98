"""CreateCollection, DescribeCollection, ListCollections, DeleteCollection."""

from app.errors import InvalidParameter
from app.rekognition.call import Call, Result

_PAGE = 1000


async def create_collection(call: Call) -> Result:
    name = call.collection
    if name.startswith("."):
        raise InvalidParameter(f"CollectionId: must not begin with a dot (got {name}).", field="CollectionId")
    async with call.changing() as services:
        collections = services.collections()
        await collections.create(name)
        if call.parameters.get("Tags"):
            await collections.tag(name, call.parameters["Tags"])
    return {
        "StatusCode": 200,
        "CollectionArn": call.collection_arn(name),
        "FaceModelVersion": await call.face_model_version(),
    }


async def describe_collection(call: Call) -> Result:
    async with call.reading() as services:
        created_at, faces = await services.collections().describe(call.collection)
        users = await services.assignment().count(call.collection)
    return {
        "FaceCount": faces,
        "UserCount": users,
        "FaceModelVersion": await call.face_model_version(),
        "CollectionARN": f"arn:{call.collection_arn(call.collection)}",
        "CreationTimestamp": created_at,
    }


async def list_collections(call: Call) -> Result:
    async with call.reading() as services:
        page = await services.collections().list_names(call.page(_PAGE))
    return {
        "CollectionIds": [name for name, _ in page.items],
        "FaceModelVersions": [call.version_of(recognizer) for _, recognizer in page.items],
        "NextToken": page.next_cursor,
    }


async def delete_collection(call: Call) -> Result:
    async with call.changing() as services:
        await services.collections().delete(call.collection)
    return {"StatusCode": 200}
