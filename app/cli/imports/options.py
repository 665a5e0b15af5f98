"""The options that the commands share."""

from pathlib import Path
from typing import Annotated

import typer

from app.services.photos.face_reader import FaceChoice

LOCAL = "http://127.0.0.1:8000"

Collection = Annotated[str, typer.Option(help="Collection of the server; created if it does not exist.")]
Url = Annotated[str, typer.Option(help="Address of the server.")]
Key = Annotated[
    str, typer.Option(envvar="VULTUS_API_KEY", help="API key; better in the environment, where other users see none.")
]
Face = Annotated[
    FaceChoice, typer.Option(help="Which face of a photo to store: `only` refuses photos with several, or `largest`.")
]
Consent = Annotated[str | None, typer.Option(help="Your reference to the consent of every person.")]
Threads = Annotated[int, typer.Option(min=1, max=64, help="Photos to send at the same time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read the source and report; send nothing.")]
Ledger = Annotated[
    Path | None, typer.Option("--progress", help="File that records what is done; a later run skips it.")
]
Report = Annotated[Path | None, typer.Option(help="JSON file to write with all that was left out, and why.")]
