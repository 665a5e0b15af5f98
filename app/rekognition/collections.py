"""CreateCollection, DescribeCollection, ListCollections, DeleteCollection."""

from app.errors import InvalidParameter
from app.rekognition.call import Answer, Call

_PAGE = 1000


async def create_collection(call: Call) -> Answer:
    name = call.collection
    if name.startswith("."):
        raise InvalidParameter("CollectionId: must not begin with a dot.", field="CollectionId")
    async with call.transaction() as services:
        collections = services.collections()
        await collections.create(name)
        if call.given.get("Tags"):
            await collections.tag(name, call.given["Tags"])
    return {
        "StatusCode": 200,
        "CollectionArn": call.arn_of(name),
        "FaceModelVersion": await call.face_model_version(),
    }


async def describe_collection(call: Call) -> Answer:
    async with call.transaction() as services:
        created_at, faces = await services.collections().describe(call.collection)
        users = await services.assignment().count(call.collection)
    return {
        "FaceCount": faces,
        "UserCount": users,
        "FaceModelVersion": await call.face_model_version(),
        "CollectionARN": f"arn:{call.arn_of(call.collection)}",
        "CreationTimestamp": created_at,
    }


async def list_collections(call: Call) -> Answer:
    async with call.transaction() as services:
        page = await services.collections().list_names(call.page(_PAGE))
    return {
        "CollectionIds": [name for name, _ in page.items],
        "FaceModelVersions": [call.version_of(recognizer) for _, recognizer in page.items],
        "NextToken": page.next_cursor,
    }


async def delete_collection(call: Call) -> Answer:
    async with call.transaction() as services:
        await services.collections().delete(call.collection)
    return {"StatusCode": 200}
