"""The photos and people that an import has finished, so that it can go on after a kill."""

from app.cli.progress_file import ProgressFile


class ImportLedger(ProgressFile[str]):
    """Records what is imported; `about` is source, server and collection."""

    title = "vultus import"
    foreign = "another import"

    def describe(self, what: str) -> object:
        return what
