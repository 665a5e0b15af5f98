"""Find what renders the pages of the server that a request is for."""

from typing import Annotated

from fastapi import Depends, Request

from app.console.rendering import Pages


async def get_pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


PagesDep = Annotated[Pages, Depends(get_pages)]
