"""Serve each path of the protocol with and without a slash at its end, as CompreFace does."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter

from app.compreface import API

H = TypeVar("H", bound=Callable[..., Any])


def serve(router: APIRouter, method: str, path: str, *, status: int = 200) -> Callable[[H], H]:
    """Return a decorator that adds a handler; the OpenAPI document, which is the native API's, has none of them."""

    def add(handler: H) -> H:
        for form in (f"{API}{path}", f"{API}{path}/"):
            router.add_api_route(
                form, handler, methods=[method], status_code=status, response_model=None, include_in_schema=False
            )
        return handler

    return add
