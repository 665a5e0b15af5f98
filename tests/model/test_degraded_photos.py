"""Strangers whose photos are bad in the same way must not match: a real pack with its shipped quality model."""

import cv2
import numpy as np
import pytest

from benchmarks.alterations import ALTERATIONS
from tests.api.conftest import Account
from tests.model.test_real_pack import PHOTOS, account, pytestmark

__all__ = ["account", "pytestmark"]

PEOPLE = 20


def altered_photos(name: str) -> list[bytes]:
    """One photo of each of some people that the shipped quality model was not fitted to, altered."""
    folders = sorted(folder for folder in PHOTOS.iterdir() if folder.is_dir())[1::2]
    chosen = np.random.default_rng(5).permutation(len(folders))[: 2 * PEOPLE]
    pictures = (np.asarray(cv2.imread(str(min(folders[index].glob("*.jpg")))), np.uint8) for index in chosen)
    return [cv2.imencode(".jpg", ALTERATIONS[name](picture))[1].tobytes() for picture in pictures]


@pytest.mark.parametrize("name", ["blur, sigma 7", "face of 8 px, enlarged", "negative", "noise, deviation 60"])
async def test_strangers_altered_alike_do_not_match(account: Account, name: str) -> None:
    photos = altered_photos(name)
    collection = name.replace(" ", "-").replace(",", "")
    await account.client.post("/collections", json={"name": collection})
    stored = 0
    for photo in photos[:PEOPLE]:
        answer = await account.send("/register/all", photo, collection=collection, quality="none")
        assert answer.status_code in (200, 201), answer.text
        stored += len(answer.json()["stored"])
    assert stored > PEOPLE / 4
    similar = 0
    for photo in photos[PEOPLE:]:
        answer = await account.send("/recognize", photo, collection=collection, limit="1")
        body = answer.json()
        candidates = [candidate for face in body["faces"] for candidate in face["candidates"]]
        assert [candidate for candidate in candidates if candidate["decision"] == "match"] == []
        similar += any(candidate["similarity"] >= body["threshold"] for candidate in candidates)
    assert similar > 0 or "px" not in name  # cosine alone would have matched strangers


async def test_a_blurred_photo_is_refused_with_its_score(account: Account) -> None:
    codes = list[str]()
    for photo in altered_photos("negative")[:10]:
        answer = await account.register(f"negative-{len(codes)}", photo, face="largest")
        codes.append("stored" if answer.status_code == 201 else answer.json()["code"])
        if codes[-1] == "face_unreliable":
            assert "at least 30 is needed" in answer.json()["detail"]
    assert codes.count("face_unreliable") >= 5
    assert "stored" not in codes
