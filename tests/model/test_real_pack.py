"""The main job on a real model pack and real photos, where both stand beside the project."""

import asyncio
import io
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from app.domain.faces import Detail
from app.ml.analysis import Embed
from app.ml.detail import plan_passes
from app.ml.image import ImageLimits, open_photo
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.packs.library import PackLibrary
from app.ml.sessions import Runtime
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from tests.api.conftest import PASSWORD, Account, sign_in, start
from tests.conftest import REAL_PACK, ROOT

PACK = Path(REAL_PACK) if REAL_PACK and Path(REAL_PACK).is_dir() else ROOT.parent / "shared/models/mobilefacenet"
PHOTOS = ROOT.parent / "shared/data/lfw-dev/images"

pytestmark = [
    pytest.mark.real_pack,
    pytest.mark.skipif(not PACK.is_dir(), reason="no real model pack: set VULTUS_MODEL_PACK to a directory"),
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="no real photos in ../shared/data/lfw-dev/images"),
]

GALLERY, PROBES = 500, 200
MIN_TOP_1 = 0.97


@pytest.fixture(scope="module")
async def account(settings: Settings) -> AsyncIterator[Account]:
    """A tenant of an app that runs the real pack."""
    async with AsyncExitStack() as stack:
        running = await start(settings.model_copy(update={"model_pack": str(PACK)}), stack)
        email = f"{uuid4().hex}@example.com"
        client = await stack.enter_async_context(running.client())
        body = {"tenant": "Faces", "email": email, "password": PASSWORD}
        created = (await client.post("/auth/signup", json=body)).json()
        tokens = await sign_in(client, email)
        client.headers["authorization"] = f"Bearer {tokens['access_token']}"
        yield Account(client, created["tenant_id"], email, tokens)


def people() -> list[tuple[str, list[Path]]]:
    """People with two photos or more, in a fixed but not alphabetical order."""
    folders = [(folder.name, sorted(folder.glob("*.jpg"))) for folder in sorted(PHOTOS.iterdir()) if folder.is_dir()]
    several = [(name, photos) for name, photos in folders if len(photos) >= 2]
    order = np.random.default_rng(7).permutation(len(several))
    return [several[index] for index in order]


def central_face(answer: dict[str, Any]) -> dict[str, Any]:
    """LFW's person is the face nearest the middle."""
    middle = answer["image"]["width"] / 2, answer["image"]["height"] / 2

    def distance(face: dict[str, Any]) -> float:
        box = face["box"]
        return math.hypot(box["x"] + box["width"] / 2 - middle[0], box["y"] + box["height"] / 2 - middle[1])

    face: dict[str, Any] = min(answer["faces"], key=distance)
    return face


async def test_real_people_are_recognized_on_other_photos(account: Account) -> None:
    """A gallery of 500 people with one photo each, 200 probes of other photos of them: top-1 at least 97%."""
    gate = asyncio.Semaphore(4)
    refused: list[str] = []

    async def register(name: str, photos: list[Path]) -> tuple[str, list[Path]] | None:
        for index, photo in enumerate(photos[:-1]):
            async with gate:
                answer = await account.register(f"p-{name}", photo.read_bytes(), name=name, face="largest")
            if answer.status_code == 201:
                return name, photos[index + 1 :]
            assert answer.status_code == 422, answer.text
            refused.append(answer.json()["code"])
        return None

    candidates = people()
    registered: list[tuple[str, list[Path]]] = []
    while len(registered) < GALLERY and candidates:
        wave, candidates = candidates[: GALLERY - len(registered)], candidates[GALLERY - len(registered) :]
        done = await asyncio.gather(*(register(name, photos) for name, photos in wave))
        registered += [one for one in done if one is not None]
    assert len(registered) == GALLERY

    async def probe(name: str, photo: Path) -> bool:
        async with gate:
            answer = await account.send("/recognize", photo.read_bytes(), limit="1")
        assert answer.status_code == 200, answer.text
        return bool(central_face(answer.json())["candidates"][0]["subject"] == f"p-{name}")

    hits = await asyncio.gather(*(probe(name, photos[0]) for name, photos in registered[:PROBES]))
    top_1 = sum(hits) / len(hits)
    print(f"top-1 {top_1:.3f} of {PROBES} probes against {GALLERY} people; refused at registration: {len(refused)}")
    assert len(hits) == PROBES
    assert top_1 >= MIN_TOP_1


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("PNG", "P"), ("PNG", "I;16")]
)
async def test_a_person_is_recognized_in_every_kind_of_picture(account: Account, form: str, mode: str) -> None:
    name, photos = people()[0]
    await account.client.post("/collections", json={"name": "kinds"})
    registered = await account.register(name, photos[0].read_bytes(), collection="kinds", face="largest")
    assert registered.status_code == 201
    with Image.open(photos[0]) as photo:
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
        else:
            picture = photo.convert(mode, palette=Image.Palette.ADAPTIVE)
    buffer = io.BytesIO()
    picture.save(buffer, form)
    answer = await account.send("/verify", buffer.getvalue(), subject=name, collection="kinds", face="largest")
    assert answer.status_code == 200, answer.text
    assert answer.json()["decision"] == "match", answer.text


async def test_a_face_that_fills_the_picture_is_found(account: Account) -> None:
    found = 0
    for _, photos in people()[:20]:
        with Image.open(photos[0]) as photo:
            face = photo.convert("RGB").crop((75, 65, 175, 185)).resize((1000, 1200))
        buffer = io.BytesIO()
        face.save(buffer, "JPEG")
        found += bool((await account.send("/detect", buffer.getvalue())).json()["faces"])
    assert found >= 19


def test_providers_of_the_recognizer_agree_on_real_faces(tmp_path: Path) -> None:
    """To a cosine of 0.999; below that they would have to count as two recognizers."""
    pack = PackLibrary(cache=Path("~/.insightface"), data_dir=tmp_path).find(str(PACK))
    plain, chosen = (InsightFaceEngine(pack, Runtime(providers=name, threads=2)) for name in ("cpu", "auto"))
    limits, crops = ImageLimits(max_bytes=10**7, max_pixels=10**7), list[np.ndarray]()
    for _, photos in people()[:60]:
        photo = open_photo(photos[0].read_bytes(), limits)
        passes = plan_passes(photo.width, photo.height, Detail.STANDARD, 40)
        crops += [plain.align(photo, face) for face in plain.detect(photo, passes)[:1]]
    agreement = [float(one @ two) for one, two in zip(plain.embed(crops), chosen.embed(crops), strict=True)]
    assert len(agreement) == 60
    assert min(agreement) >= 0.999


def test_a_small_photo_and_its_enlargement_show_the_same_face(tmp_path: Path) -> None:
    """Whichever level a large JPEG is decoded at: the enlarged face stays where it was, and whose it was."""
    analyzer = build_analyzer(Settings(model_pack=str(PACK), data_dir=tmp_path))
    for _, photos in people()[:10]:
        with Image.open(photos[0]) as photo:
            large = photo.convert("RGB").resize((2500, 2500), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        large.save(buffer, "JPEG", quality=92)
        small_one = analyzer.analyze(photos[0].read_bytes(), Embed.LARGEST)
        large_one = analyzer.analyze(buffer.getvalue(), Embed.LARGEST)
        one, two = small_one.faces[0].box, large_one.faces[0].box
        assert two.x / 10 == pytest.approx(one.x, abs=5)
        assert two.width / 10 == pytest.approx(one.width, abs=7)
        assert float(small_one.embeddings[0] @ large_one.embeddings[0]) > 0.9
