"""Render pages: the templates, what all of them know, and errors as pages."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.console import PREFIX
from app.console.context import read_prefix
from app.console.texts import LANGUAGES, catalog, language, translate
from app.console.viewer import Viewer
from app.console.wording import FILTERS
from app.errors import AppError, AuthenticationFailed, SecondFactorRequired
from app.settings import Settings
from app.telemetry import error_code, request_id

_environment = Environment(
    loader=PackageLoader("app.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(FILTERS)
_environment.globals["t"] = translate  # for macros, too


class Pages:
    """Renders pages of one server."""

    def __init__(self, settings: Settings) -> None:
        self.prefix = read_prefix(settings.public_url)
        self._has_signup = settings.signup_enabled

    def render(self, template: str, viewer: Viewer | None, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a page, or a part of one, for a viewer; None: nobody is signed in."""
        context = {
            "script_texts_of": _choose_texts,
            "language": language.get(),
            "languages": LANGUAGES,
            "viewer": viewer,
            "root": self.prefix,
            "console": self.prefix + PREFIX,
            "api": f"{self.prefix}/api/v1",
            "static": self._static,
            "has_signup": self._has_signup,
        }
        body = _environment.get_template(template).render(context | values)
        return HTMLResponse(body, status, {"vary": "accept-language, cookie, hx-request"})

    def redirect(self, path: str) -> RedirectResponse:
        """Lead a browser to a path of the console."""
        return RedirectResponse(self.prefix + path, 303)

    def render_error(self, path: str, error: AppError) -> Response:
        """Render an error as a page; whoever is not signed in is led there."""
        error_code.set(error.code)
        if path.startswith(f"{PREFIX}/operator") and isinstance(error, AuthenticationFailed):
            return self.redirect(f"{PREFIX}/operator")
        if isinstance(error, AuthenticationFailed):
            response = self.redirect(f"{PREFIX}/sign-in?next={path}" if path != PREFIX else f"{PREFIX}/sign-in")
            response.headers["hx-redirect"] = response.headers["location"]
            return response
        if isinstance(error, SecondFactorRequired):
            response = self.redirect(f"{PREFIX}/settings/account")
            response.headers["hx-redirect"] = response.headers["location"]
            return response
        page = self.render("error.html", None, status=error.status, error=error, error_id=request_id.get())
        page.headers.update(error.headers)
        return page

    def _static(self, name: str) -> str:
        return f"{self.prefix}{PREFIX}/static/{name}?v={_digest(name)}"


def _choose_texts(prefixes: Sequence[str]) -> dict[str, str]:
    """Return the texts that scripts of a page use."""
    return {key: text for key, text in catalog(language.get()).items() if key.startswith(tuple(prefixes))}


@cache
def _digest(name: str) -> str:
    """Return the start of a file's SHA-256, so that browsers may keep it for ever."""
    return hashlib.sha256(files("app.console").joinpath("static", *name.split("/")).read_bytes()).hexdigest()[:16]
