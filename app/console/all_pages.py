"""Add the console to the app: its pages and its files."""

from importlib.resources import files

from fastapi import APIRouter, FastAPI
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from app.console import PREFIX
from app.console.pages import (
    albums,
    guest,
    operator,
    overview,
    people,
    recognition,
    records,
    review,
    settings,
    sign_in,
    unknown,
    videos,
)
from app.console.rendering import Pages
from app.settings import Settings

_PAGES = (
    sign_in,
    overview,
    people,
    recognition,
    albums,
    guest,
    review,
    unknown,
    videos,
    settings,
    records,
    operator,
)


def install_console(app: FastAPI, configured: Settings) -> None:
    """Serve the pages below `/console`; without the console, `/` leads to `/docs`."""
    home = APIRouter(include_in_schema=False)

    @home.get("/")
    async def lead_home() -> RedirectResponse:
        return RedirectResponse(PREFIX if configured.console else "/docs", 307)

    app.include_router(home)
    if not configured.console:
        return
    app.state.pages = Pages(configured)
    for page in _PAGES:
        app.include_router(page.router, prefix=PREFIX)
    app.mount(f"{PREFIX}/static", StaticFiles(directory=str(files("app.console") / "static")), name="console-static")


def is_console(path: str) -> bool:
    """Return whether a path is one of the console's."""
    return path == PREFIX or path.startswith(PREFIX + "/")
