"""The photos that a migration has finished, so that a long run can resume."""

from app.cli.progress_file import ProgressFile
from app.services.maintenance.model_migration import SourcePhoto


class Ledger(ProgressFile[SourcePhoto]):
    """Records finished photos; `about` is tenant, collection and recognizer."""

    title = "vultus models migrate"
    foreign = "another migration, or the templates have been erased since"

    def describe(self, what: SourcePhoto) -> object:
        return [what.name, what.subject]
