"""Serve the protocol at `/` too, since some programs can only be given a host."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.rekognition import PATH, TARGET_PREFIX


class RootEndpoint:
    """Routes a request for `/` that names an operation of the protocol. `raw_path`, which is signed, stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/":
            target = Headers(scope=scope).get("x-amz-target", "")
            if target.startswith(f"{TARGET_PREFIX}."):
                scope = {**scope, "path": PATH, "raw_path": scope.get("raw_path") or b"/"}
        await self._app(scope, receive, send)
