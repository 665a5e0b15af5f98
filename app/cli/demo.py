"""`vultus demo`: register people through the API and recognize them in a group picture."""

import asyncio
import io
import math
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID

import httpx
import typer
from PIL import Image, ImageDraw, ImageFont
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from starlette.types import Receive, Scope, Send

from app.cli.database import announce_database
from app.cli.demo_pictures import DemoPictures, drawn_pictures, photo_pictures, sample_photo, sample_pictures
from app.cli.serve import check_before_start, run_server
from app.cli.settings import command_settings
from app.errors import ModelPackUnavailable, OperatorError
from app.ml.packs.library import SYNTHETIC, PackLibrary
from app.permissions import UNLIMITED
from app.persistence.connections.database import Database
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.provisioning.logins import check_operator_login, check_service_login
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher, generate_password
from app.settings import Settings
from app.wiring.operator import OperatorServices

if TYPE_CHECKING:  # it imports the metrics, for which `run_server` first decides where they are counted
    from app.server.state import ServerState

TENANT, EMAIL, COLLECTION = "demo", "admin@demo.example", "demo"
FALSE_MATCH_RATE = 1e-2
"""1 in 100 searches of a stranger may match. A gallery of six people needs no lower rate."""

_out = Console(highlight=False, soft_wrap=True)


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Your own photos: one folder per person with two or more .jpg files."
        ),
    ] = None,
    then_serve: Annotated[bool, typer.Option("--serve", help="Serve the API afterwards until Ctrl-C.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on, with --serve.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on, with --serve.")] = 8000,
) -> None:
    """Register sample people, recognize them in a group picture and show the result.

    Exits with 1 if anybody is not recognized correctly.
    """
    settings = command_settings()
    if then_serve:
        check_before_start(settings, host=host, port=port)
    announce_database(settings)
    settings = _ensure_pack(settings)
    is_complete = asyncio.run(_run(settings, photos))
    if then_serve:
        _out.print(
            f"\nServing on [bold]http://{host}:{port}[/]  (Swagger UI: http://{host}:{port}/docs; stop with Ctrl-C)"
        )
        run_server(settings, host=host, port=port, workers=1)
    elif not is_complete:
        raise typer.Exit(1)


def _ensure_pack(settings: Settings) -> Settings:
    """Fall back to the synthetic pack if the configured one is unavailable. Only the demo does this."""
    library = PackLibrary.from_settings(settings)
    _out.print(f"Looking for the model pack {settings.model_pack!r} ...")
    try:
        library.find(settings.model_pack)
    except ModelPackUnavailable as exc:
        _out.print(f"[yellow]{str(exc).splitlines()[0]}[/]")
        _out.print("[black on yellow] Using the synthetic pack instead: IT KNOWS ONLY DRAWN FACES, not photos. [/]")
        os.environ["VULTUS_MODEL_PACK"] = SYNTHETIC  # read by the worker that --serve starts
        return settings.model_copy(update={"model_pack": SYNTHETIC})
    return settings


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result for one person in the group picture. `expected` is None for a stranger; `face` if none was found."""

    expected: str | None
    face: dict[str, Any] | None

    @property
    def best(self) -> dict[str, Any] | None:
        candidates = self.face["candidates"] if self.face else []
        return candidates[0] if candidates else None

    @property
    def recognized(self) -> str | None:
        best = self.best
        return best["subject"] if best and best["decision"] == "match" else None

    @property
    def is_right(self) -> bool:
        return self.face is not None and self.recognized == self.expected


async def _run(settings: Settings, photos: Path | None) -> bool:
    await check_service_login(settings)
    await check_operator_login(settings)
    _out.print("Starting the database and loading the models ...")
    from app.main import create_app  # noqa: PLC0415 - imports the inference libraries

    async with AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(provisioned_database(settings))
        tenant_id = await _demo_tenant(
            addresses.operator, Keyring(settings.signing_keys()), behind_pgbouncer=settings.database_pgbouncer
        )
        demo_settings = settings.model_copy(
            update={"log_level": "warning", "database_url": SecretStr(addresses.service)}
        )
        app = create_app(demo_settings)
        state = cast("ServerState", await stack.enter_async_context(app.router.lifespan_context(app)))

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state)
            await app(scope, receive, send)

        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://demo/api/v1")
        )
        tokens = await state["process"].auth.sign_in_for_operator(tenant_id)
        client.headers["authorization"] = f"Bearer {tokens.access_token}"
        engine = state["process"].faces.engine
        _out.print(f"Model pack {engine.pack} on {engine.providers[0]}; weights: {engine.license}.")
        pictures = await _choose_pictures(client, photos, knows_only_drawings=engine.knows_only_drawings)
        return await _show(client, pictures, settings.resolved_data_dir / "demo")


async def _demo_tenant(address: str, keyring: Keyring, *, behind_pgbouncer: bool) -> UUID:
    """Return the demo's tenant; the first run creates it and prints its password."""
    database = Database(address, pool_size=1, behind_pgbouncer=behind_pgbouncer)
    hasher, services = PasswordHasher(), OperatorServices(database, keyring)
    try:
        tenant_id = await services.operator().find(TENANT)
        if tenant_id is not None:
            _out.print(f"Tenant {TENANT!r} exists; its password was shown when it was created.")
            return tenant_id
        password = generate_password()
        created = await services.tenants(hasher).create(TENANT, EMAIL, password, UNLIMITED)
        _out.print(f"\nTenant {TENANT!r} created. Its admin, shown only once:")
        _out.print(f"  email     {EMAIL}\n  password  {password}\n")
        return created.tenant_id
    finally:
        await database.close()
        hasher.close()


async def _choose_pictures(
    client: httpx.AsyncClient, photos: Path | None, *, knows_only_drawings: bool
) -> DemoPictures:
    if knows_only_drawings:
        return drawn_pictures()
    if photos is not None:
        return photo_pictures(photos)
    photo = sample_photo()
    found = _checked(await client.post("/detect", files={"image": ("group.jpg", photo, "image/jpeg")}))
    boxes = [face["box"] for face in found["faces"] if face["quality"]["acceptable"]]
    return sample_pictures(photo, [(box["x"], box["y"], box["width"], box["height"]) for box in boxes])


async def _show(client: httpx.AsyncClient, pictures: DemoPictures, directory: Path) -> bool:
    _out.print(f"Pictures: {pictures.source}.\n")
    await client.delete(f"/collections/{COLLECTION}")
    _checked(await client.post("/collections", json={"name": COLLECTION}))
    policy = {"max_false_match_rate": FALSE_MATCH_RATE}
    _checked(await client.put(f"/collections/{COLLECTION}/policy", json=policy))
    registered_ms = {}
    for person in pictures.people:
        files = [("images", (f"{index}.jpg", data, "image/jpeg")) for index, data in enumerate(person.pictures)]
        fields = {"subject": person.subject, "name": person.name, "collection": COLLECTION, "face": "largest"}
        started = time.perf_counter()
        answer = _checked(await client.post("/register", data=fields, files=files))
        taken_ms = registered_ms[person.subject] = (time.perf_counter() - started) * 1000
        _out.print(f"  registered {person.name:<24} {len(answer['templates'])} template(s), {taken_ms:.0f} ms")

    started = time.perf_counter()
    group = {"image": ("group.jpg", pictures.group, "image/jpeg")}
    answer = _checked(await client.post("/recognize", data={"collection": COLLECTION, "limit": "1"}, files=group))
    elapsed_ms = (time.perf_counter() - started) * 1000

    outcomes = [_Outcome(person.subject, _nearest(answer["faces"], person.center)) for person in pictures.expected]
    names = {person.subject: person.name for person in pictures.people}
    _print_table(outcomes, names, registered_ms, len(answer["faces"]), elapsed_ms, answer["threshold"])
    annotated = directory / "recognized.png"
    _annotate(pictures.group, outcomes, names, annotated)
    (directory / "group.jpg").write_bytes(pictures.group)
    (directory / "person.jpg").write_bytes(pictures.people[0].pictures[0])
    right = sum(outcome.is_right for outcome in outcomes)
    _out.print(f"{right} of {len(outcomes)} people right. Annotated picture: {annotated}")
    return right == len(outcomes)


def _print_table(
    outcomes: list[_Outcome],
    names: dict[str, str],
    registered_ms: dict[str, float],
    faces: int,
    ms: float,
    threshold: float,
) -> None:
    table = Table(
        "in the picture",
        "registered, ms",
        "best candidate",
        "similarity",
        "decision",
        "right",
        title=f"{faces} faces recognized in one call: {ms:.0f} ms (threshold {threshold:.2f}: "
        f"1 stranger in {1 / FALSE_MATCH_RATE:.0f} would match)",
    )
    for outcome in outcomes:
        best = outcome.best
        table.add_row(
            names[outcome.expected] if outcome.expected else "a stranger",
            f"{registered_ms[outcome.expected]:.0f}" if outcome.expected else "-",
            best["name"] if best else "-",
            f"{best['similarity']:.3f}" if best else "-",
            best["decision"] if best else ("no face found" if outcome.face is None else "-"),
            "yes" if outcome.is_right else "NO",
        )
    _out.print()
    _out.print(table)


def _nearest(faces: list[dict[str, Any]], center: tuple[float, float]) -> dict[str, Any] | None:
    """Return the face around a point in pixels; None if the nearest one is farther than its size."""

    def distance(face: dict[str, Any]) -> float:
        box = face["box"]
        return math.hypot(box["x"] + box["width"] / 2 - center[0], box["y"] + box["height"] / 2 - center[1])

    nearest = min(faces, key=distance, default=None)
    if nearest is None or distance(nearest) > max(nearest["box"]["width"], nearest["box"]["height"]):
        return None
    return nearest


def _annotate(group: bytes, outcomes: list[_Outcome], names: dict[str, str], target: Path) -> None:
    with Image.open(io.BytesIO(group)) as opened:
        picture = opened.convert("RGB")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=15)
    for outcome in outcomes:
        if outcome.face is None:
            continue
        box = outcome.face["box"]
        corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        color = (24, 128, 56) if outcome.recognized else (176, 80, 0)
        label = (
            f"{names[outcome.recognized]} {outcome.best['similarity']:.2f}"
            if outcome.recognized and outcome.best
            else "unknown"
        )
        draw.rectangle(corners, outline=color, width=3)
        left, top, right, bottom = draw.textbbox((corners[0], corners[3] + 4), label, font=font)
        draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=color)
        draw.text((corners[0], corners[3] + 4), label, font=font, fill=(255, 255, 255))
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target)


def _checked(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.is_error:
        raise OperatorError(f"{response.request.url.path} failed: {body.get('code')}: {body.get('detail')}")
    return body
