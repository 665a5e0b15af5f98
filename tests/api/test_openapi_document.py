"""The OpenAPI document as a file: the same bytes each time, and nothing for who has them."""

import httpx

DOCUMENT = "http://vultus/openapi.json"


async def test_who_has_the_document_receives_none(anonymous: httpx.AsyncClient) -> None:
    first = await anonymous.get(DOCUMENT)
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    again = await anonymous.get(DOCUMENT)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    for sent in (first.headers["etag"], f'W/{first.headers["etag"]}, "other"'):
        known = await anonymous.get(DOCUMENT, headers={"if-none-match": sent})
        assert (known.status_code, known.content) == (304, b"")
        assert known.headers["etag"] == first.headers["etag"]
    other = await anonymous.get(DOCUMENT, headers={"if-none-match": '"other"'})
    assert other.content == first.content
