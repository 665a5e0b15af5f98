"""TagResource, UntagResource, ListTagsForResource. Only collections can be tagged."""

from app.rekognition.call import Call, Result


async def tag_resource(call: Call) -> Result:
    async with call.changing() as services:
        await services.collections().tag(_collection_name(call), call.parameters["Tags"])
    return {}


async def untag_resource(call: Call) -> Result:
    async with call.changing() as services:
        await services.collections().untag(_collection_name(call), call.parameters["TagKeys"])
    return {}


async def list_tags_for_resource(call: Call) -> Result:
    async with call.reading() as services:
        return {"Tags": dict(await services.collections().get_tags(_collection_name(call)))}


def _collection_name(call: Call) -> str:
    return call.read_collection_arn(call.parameters["ResourceArn"])
