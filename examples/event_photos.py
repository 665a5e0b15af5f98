"""Upload the photos of an event, and list those that show the person of a selfie.

python examples/event_photos.py ALBUM DIRECTORY SELFIE

The server is in VULTUS_URL, a key with the scopes `register` and `recognize` in VULTUS_API_KEY. Run it again after an
interruption: it sends only what the album lacks.
"""

import asyncio
import contextlib
import os
import sys

from vultus_client import AsyncVultus, problems


async def main(album: str, directory: str, selfie: str) -> None:
    """Upload, wait, search."""
    async with AsyncVultus(os.environ["VULTUS_URL"], api_key=os.environ["VULTUS_API_KEY"]) as vultus:
        with contextlib.suppress(problems.CollectionExists):
            await vultus.albums.create(album)
        done = await vultus.albums.upload(album, directory, at_once=8)
        print(f"{len(done.sent)} sent, {len(done.skipped)} sent before, {len(done.refused)} refused", file=sys.stderr)
        for photo, error in done.refused.items():
            print(f"{photo}: {error.code}", file=sys.stderr)
        await vultus.albums.wait(album)
        found = await vultus.albums.search(album, selfie, decision="match")
        for item in found["items"]:
            print(item["external_id"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
