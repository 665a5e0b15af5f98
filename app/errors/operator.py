"""Errors for the operator: they stop a command or the start of the service, and never reach a client."""


class OperatorError(Exception):
    """The service cannot start or run this command; the message says what to do."""


class GraphsBusy(OperatorError):
    """Another process is building or dropping search graphs; try again when it has finished."""


class ModelPackUnavailable(OperatorError):
    """No model pack is available."""


class ModelPackRefused(OperatorError):
    """The model pack's files are invalid or do not match their digests."""


class DatabaseNotReady(OperatorError):
    """The database is missing, outdated or misconfigured."""
