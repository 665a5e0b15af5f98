"""Bring what a source has to a server: several photos at a time, and each one once, also after a kill."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from app.cli.album_client import AlbumClient, Refused
from app.cli.imports.ledger import ImportLedger
from app.cli.imports.people import Catalog, LeftOut, Person, Photo, PhotoMissing, SubjectSource
from app.cli.imports.report import ImportReport
from app.cli.imports.target import Target, ends_import
from app.cli.progress import ProgressDisplay, show_progress
from app.errors import OperatorError
from app.services.photos.face_reader import FaceChoice

T = TypeVar("T")

STORED, KNOWN = "stored", "known"


@dataclass(frozen=True, slots=True)
class ImportRun:
    """Where an import goes, and how."""

    url: str
    key: str
    collection: str
    face: FaceChoice = FaceChoice.ONLY
    threads: int = 4
    is_dry_run: bool = False
    progress: Path | None = None
    report: Path | None = None

    def bring(self, catalog: Catalog, source: str) -> None:
        """Bring photos and people; exits with 1 if something was left out. `source` names where they come from."""
        with self._server() as client:
            target = Target(client, self.collection, self.face)

            def send_photo(photo: Photo) -> str:
                content = photo.load()
                if self.is_dry_run:
                    return STORED
                return STORED if target.add_photo(photo, content) else KNOWN

            def send_person(person: Person) -> str:
                if not self.is_dry_run:
                    target.add_person(person)
                return STORED

            report = ImportReport(self.is_dry_run, left_out=list(catalog.left_out))
            with self._ledger(source) as ledger, show_progress() as progress:
                if not self.is_dry_run:
                    target.ensure_collection()
                work = Work(client, progress, ledger, report, self.threads)
                work.run("People", catalog.people, lambda person: f"person {person.subject}", send_person, counts=False)
                work.run("Photos", catalog.photos, lambda photo: photo.source_id, send_photo)
            report.people = len(
                {photo.person.subject for photo in catalog.photos} | {p.subject for p in catalog.people}
            )
            self.finish(report, "photos")

    def bring_documents(self, sources: Sequence[SubjectSource], source: str) -> None:
        """Import exported subjects; exits with 1 if something was left out. `source` names where they come from."""
        with self._server() as client:
            target = Target(client, self.collection)

            def send(one: SubjectSource) -> str:
                document = one.load()
                if self.is_dry_run:
                    return STORED
                return STORED if target.import_document(document) else KNOWN

            report = ImportReport(self.is_dry_run)
            with self._ledger(source) as ledger, show_progress() as progress:
                if not self.is_dry_run:
                    target.ensure_collection()
                Work(client, progress, ledger, report, self.threads).run(
                    "Subjects", sources, lambda one: one.name, send
                )
            report.people = report.stored + report.known
            self.finish(report, "subjects")

    def finish(self, report: ImportReport, unit: str) -> None:
        """Show and write a report; exits with 1 if something was left out."""
        report.show(unit)
        if self.report is not None:
            report.write(self.report)
        if report.left_out:
            raise typer.Exit(1)

    def _server(self) -> closing["AlbumClient"]:
        if not self.key and not self.is_dry_run:
            raise OperatorError("Set VULTUS_API_KEY to an API key of your tenant with the scope register.")
        return closing(AlbumClient(self.url, self.key, connections=self.threads))

    def _ledger(self, source: str) -> ImportLedger:
        path = None if self.is_dry_run else self.progress
        return ImportLedger(path, f"{source} to {self.url}, {self.collection}")


class Work:
    """Sends items of one kind after the other, and notes what became of each."""

    def __init__(
        self, client: AlbumClient, progress: ProgressDisplay, ledger: ImportLedger, report: ImportReport, threads: int
    ) -> None:
        self._client = client
        self._progress = progress
        self._ledger = ledger
        self._report = report
        self._threads = threads
        self._lock = threading.Lock()

    def run(
        self,
        kind: str,
        items: Sequence[T],
        name: Callable[[T], str],
        send: Callable[[T], str],
        *,
        counts: bool = True,
    ) -> None:
        """Send every item that the ledger does not have; raises `OperatorError` if the server refuses all of them."""
        missing = [item for item in items if not self._ledger.has(name(item))]
        if counts:
            self._report.known += len(items) - len(missing)
        steps = self._progress.steps(kind, len(missing))

        def work(item: T) -> None:
            outcome = _send(name(item), item, send)
            with self._lock:
                self._note(name(item), outcome, counts)
            steps.advance()

        with ThreadPoolExecutor(self._threads) as pool:
            sending = [pool.submit(work, item) for item in missing]
            try:
                for one in as_completed(sending):
                    one.result()
            except BaseException:
                self._client.end()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _note(self, name: str, outcome: str | LeftOut, counts: bool) -> None:
        if isinstance(outcome, LeftOut):
            self._report.left_out.append(outcome)
            return
        if counts:
            self._report.stored += outcome == STORED
            self._report.known += outcome == KNOWN
        self._ledger.add(name)


def _send(name: str, item: T, send: Callable[[T], str]) -> str | LeftOut:
    try:
        return send(item)
    except PhotoMissing as exc:
        return LeftOut(name, "photo_missing", str(exc))
    except Refused as exc:
        if ends_import(exc):
            raise OperatorError(f"{name}: {exc}") from exc
        return LeftOut(name, exc.code, exc.detail)
