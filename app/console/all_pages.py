"""Add the console to the app: its pages and its files."""

from importlib.resources import files

from fastapi import APIRouter, FastAPI
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from app.console import PREFIX
from app.console.pages import albums, guest, overview, people, recognition, review, sign_in, unknown, videos
from app.console.rendering import Pages
from app.settings import Settings

_PAGES = (sign_in, overview, people, recognition, albums, guest, review, unknown, videos)


def install_console(app: FastAPI, settings: Settings) -> None:
    """Serve the pages below `/console`; without the console, `/` leads to `/docs`."""
    home = APIRouter(include_in_schema=False)

    @home.get("/")
    async def lead_home() -> RedirectResponse:
        return RedirectResponse(PREFIX if settings.console else "/docs", 307)

    app.include_router(home)
    if not settings.console:
        return
    app.state.pages = Pages(settings)
    for page in _PAGES:
        app.include_router(page.router, prefix=PREFIX)
    app.mount(f"{PREFIX}/static", StaticFiles(directory=str(files("app.console") / "static")), name="console-static")


def is_console(path: str) -> bool:
    """Return whether a path is one of the console's."""
    return path == PREFIX or path.startswith(PREFIX + "/")
