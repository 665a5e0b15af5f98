"""Large documents are read in another process, tenants in turn, also after that process was killed."""

import asyncio
import os
import sys

import pytest

from app.errors import Overloaded
from app.server.document_process import DocumentProcess
from app.server.off_loop import MAX_INLINE_BYTES

LARGE = MAX_INLINE_BYTES + 1


async def test_only_large_documents_leave_the_process_and_a_killed_one_is_replaced() -> None:
    documents = DocumentProcess()
    try:
        assert await documents.run("a", MAX_INLINE_BYTES, os.getpid) == os.getpid()
        first = await documents.run("a", LARGE, os.getpid)
        assert first != os.getpid()
        with pytest.raises(Overloaded):
            await documents.run("a", LARGE, os._exit, 1)
        second = await documents.run("a", LARGE, os.getpid)
        assert second not in (first, os.getpid())
        if sys.platform == "linux":
            assert await documents.run("a", LARGE, os.nice, 0) >= min(19, os.nice(0) + 10)
    finally:
        documents.close()


async def test_tenants_take_turns() -> None:
    documents, done = DocumentProcess(), list[str]()

    async def read(tenant: str, name: str) -> None:
        await documents.run(tenant, LARGE, len, name)
        done.append(name)

    try:
        await asyncio.gather(*(read("many", f"many {number}") for number in range(4)), read("one", "one"))
        assert done == ["many 0", "many 1", "one", "many 2", "many 3"]
    finally:
        documents.close()


async def test_errors_reach_the_caller() -> None:
    documents = DocumentProcess()
    try:
        with pytest.raises(ValueError, match="invalid literal"):
            await documents.run("a", LARGE, int, "x")
    finally:
        documents.close()
