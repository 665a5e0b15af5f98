"""TagResource, UntagResource, ListTagsForResource: of collections, the only resources there are here."""

from app.rekognition.arns import read_collection_arn
from app.rekognition.call import Answer, Call


async def tag_resource(call: Call) -> Answer:
    async with call.transaction() as services:
        await services.collections().tag(_named(call), call.given["Tags"])
    return {}


async def untag_resource(call: Call) -> Answer:
    async with call.transaction() as services:
        await services.collections().untag(_named(call), call.given["TagKeys"])
    return {}


async def list_tags_for_resource(call: Call) -> Answer:
    async with call.transaction() as services:
        return {"Tags": dict(await services.collections().get_tags(_named(call)))}


def _named(call: Call) -> str:
    return read_collection_arn(call.given["ResourceArn"], call.caller.principal.tenant_id)
