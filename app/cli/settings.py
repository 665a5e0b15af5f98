"""Settings for commands: an invalid setting becomes a message, not a traceback."""

from pydantic import ValidationError

from app.errors import OperatorError
from app.settings import Settings, load_settings


def command_settings() -> Settings:
    """Load the settings; raises `OperatorError` with each invalid variable, never with its value."""
    try:
        return load_settings()
    except ValidationError as exc:
        lines = [
            f"  {'VULTUS_' + '_'.join(map(str, error['loc'])).upper() + ': ' if error['loc'] else ''}"
            f"{error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_input=False, include_url=False)
        ]
        raise OperatorError("the settings are invalid:\n" + "\n".join(lines)) from None
