"""Settings for commands: an invalid setting becomes one line, not a traceback."""

from pydantic import ValidationError

from app.errors import OperatorError
from app.settings import Settings, load_settings
from app.unknown_settings import UnknownSetting


def command_settings() -> Settings:
    """Load the settings; raises `OperatorError` with each invalid variable, never with its value."""
    try:
        return load_settings()
    except UnknownSetting as exc:
        raise OperatorError(str(exc)) from None
    except ValidationError as exc:
        faults = [
            f"{'VULTUS_' + '_'.join(map(str, error['loc'])).upper() + ': ' if error['loc'] else ''}"
            f"{error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_input=False, include_url=False)
        ]
        raise OperatorError("The settings are invalid: " + "; ".join(faults)) from None
