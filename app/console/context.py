"""Set the language of each request to the console, and the headers of its pages."""

from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console import PREFIX
from app.console.texts import choose_language, language

LANGUAGE_COOKIE = "vultus-language"
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)


class ConsoleContext:
    """Prepares requests to the console; others pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        chosen = cookie_parser(headers.get("cookie", "")).get(LANGUAGE_COOKIE)
        language.set(choose_language(chosen, headers.get("accept-language", "")))

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                added["content-security-policy"] = _POLICY
                added.setdefault("cache-control", "no-store")
                added["permissions-policy"] = "camera=(self)"
            await send(message)

        await self._app(scope, receive, send_with_policy)


def read_prefix(public_url: str | None) -> str:
    """Return the path under which a proxy serves this server, without a slash at its end."""
    return urlsplit(public_url).path.rstrip("/") if public_url else ""


def is_local_path(text: str) -> bool:
    """Return whether a text is a path of the console, and nothing that leads a browser elsewhere."""
    return text.startswith(PREFIX) and "\\" not in text and "//" not in text and not parse_qs(text).get("next")
