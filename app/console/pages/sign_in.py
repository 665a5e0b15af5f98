"""Sign in and out, sign up, and choose a language."""

from contextlib import suppress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from app.console import PREFIX
from app.console.context import LANGUAGE_COOKIE, is_local_path
from app.console.pages_of import PagesDep
from app.console.rendering import Pages
from app.console.texts import LANGUAGES, translate
from app.console.viewer import StateDep
from app.errors import (
    AppError,
    AuthenticationFailed,
    InvalidCredentials,
    PermissionDenied,
    SecondFactorWrong,
    SignupDisabled,
)
from app.server.admission import address_of
from app.server.console_session import delete_cookie, read_cookie, set_cookie
from app.server.state import limiter_of
from app.services.access.authentication import CONSOLE_PREFIX, ConsoleSession

router = APIRouter(include_in_schema=False)


async def limit_address(request: Request) -> None:
    """Limit the rate of requests from one address; raises `RateLimited`."""
    await limiter_of(request).admit_address(address_of(request), "console")


async def refuse_other_sites(request: Request) -> None:
    """Raise `PermissionDenied` for a form that another site sends."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    is_same = request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    if not is_same or (origin is not None and origin != "null" and urlsplit(origin).netloc != host):
        raise PermissionDenied("The form was not sent by a page of this server.")


LIMITED = Depends(limit_address)
OWN_FORM = Depends(refuse_other_sites)


@router.get("/sign-in", dependencies=[LIMITED])
async def show_sign_in(pages: PagesDep, next: Annotated[str, Query(max_length=2000)] = PREFIX) -> Response:  # noqa: A002 - a name that the web knows
    return pages.render("sign_in.html", None, next=next, email="", error=None)


@router.post("/sign-in", dependencies=[LIMITED, OWN_FORM])
async def sign_in(
    request: Request,
    pages: PagesDep,
    state: StateDep,
    email: Annotated[str, Form(max_length=320)],
    password: Annotated[str, Form(max_length=256)],
    next: Annotated[str, Form(max_length=2000)] = PREFIX,  # noqa: A002
) -> Response:
    """Start a session and lead to the page that was wanted, or ask for the code of the second factor."""
    try:
        session = await state.auth.sign_in_to_console(email, password, address_of(request))
    except InvalidCredentials as exc:
        error = translate("sign_in.wrong")
        return pages.render("sign_in.html", None, status=exc.status, next=next, email=email, error=error)
    except AppError as exc:
        return pages.render("sign_in.html", None, status=exc.status, next=next, email=email, error=exc.detail)
    if session.pending is not None:
        return pages.render("sign_in_code.html", None, next=next, pending=session.pending, error=None)
    return _begin(request, pages, session, next)


@router.post("/sign-in/code", dependencies=[LIMITED, OWN_FORM])
async def sign_in_by_code(
    request: Request,
    pages: PagesDep,
    state: StateDep,
    pending: Annotated[str, Form(max_length=1000)],
    code: Annotated[str, Form(max_length=40)] = "",
    next: Annotated[str, Form(max_length=2000)] = PREFIX,  # noqa: A002
) -> Response:
    """Start a session after the password was right, by the code of the second factor."""
    try:
        session = await state.auth.finish_console_sign_in(pending, code, address_of(request))
    except InvalidCredentials as exc:
        error = translate("sign_in.too_late")
        return pages.render("sign_in.html", None, status=exc.status, next=next, email="", error=error)
    except AppError as exc:
        error = translate("sign_in.wrong_code") if isinstance(exc, SecondFactorWrong) else exc.detail
        return pages.render("sign_in_code.html", None, status=exc.status, next=next, pending=pending, error=error)
    return _begin(request, pages, session, next)


def _begin(request: Request, pages: Pages, session: ConsoleSession, wanted: str) -> Response:
    response = pages.redirect(wanted if is_local_path(wanted) else PREFIX)
    set_cookie(request, response, session.token, session.lifetime_s)
    return response


@router.post("/sign-out", dependencies=[LIMITED, OWN_FORM])
async def sign_out(
    request: Request, pages: PagesDep, state: StateDep, csrf: Annotated[str, Form(max_length=128)] = ""
) -> Response:
    """End the session at once; one that has ended already is forgotten by the browser."""
    token = read_cookie(request, csrf)
    if token is not None:
        with suppress(AuthenticationFailed):
            await state.auth.sign_out(await state.auth.authenticate(CONSOLE_PREFIX + token))
    response = pages.redirect(f"{PREFIX}/sign-in")
    delete_cookie(request, response)
    return response


@router.get("/sign-up", dependencies=[LIMITED])
async def show_sign_up(pages: PagesDep, state: StateDep) -> Response:
    if not state.settings.signup_enabled:
        raise SignupDisabled
    return pages.render("sign_up.html", None)


@router.get("/invitation", dependencies=[LIMITED])
@router.get("/reset", dependencies=[LIMITED])
async def show_link(request: Request, pages: PagesDep) -> Response:
    """Let the owner of a link choose a password; the secret part of the link stays in the browser until then."""
    return pages.render("link.html", None, kind=request.url.path.rsplit("/", 1)[-1])


@router.get("/forgotten", dependencies=[LIMITED])
async def show_forgotten(pages: PagesDep, state: StateDep) -> Response:
    return pages.render("forgotten.html", None, has_mail=state.link_mails.is_configured)


@router.get("/language", dependencies=[LIMITED])
async def choose_language(request: Request, pages: PagesDep, name: Annotated[str, Query(max_length=8)]) -> Response:
    """Remember a language, and lead back to the page."""
    came_from = urlsplit(request.headers.get("referer", "")).path
    response = pages.redirect(came_from if is_local_path(came_from) else PREFIX)
    if name in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, name, max_age=31_536_000, path="/", httponly=True, samesite="lax")
    return response
