"""List every router of the REST API, in the order of the OpenAPI document."""

from app.routes import (
    audit,
    auth,
    batches,
    collection_recognizers,
    collections,
    faces,
    health,
    keys,
    object_stores,
    operator,
    policies,
    portability,
    receipts,
    recognition,
    rekognition_options,
    search,
    subjects,
    tenants,
    usage,
    users,
)

ROUTERS = tuple(
    module.router
    for module in (
        auth,
        recognition,
        batches,
        collections,
        collection_recognizers,
        subjects,
        faces,
        search,
        policies,
        portability,
        audit,
        receipts,
        usage,
        tenants,
        users,
        keys,
        object_stores,
        rekognition_options,
        operator,
        health,
    )
)
