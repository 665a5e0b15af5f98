"""Register and recognize people with a Vultus server: `Vultus` waits for each answer, `AsyncVultus` awaits it."""

from vultus_client import models, problems
from vultus_client._async.client import AsyncVultus
from vultus_client._sync.client import Vultus
from vultus_client.errors import ApiError, ConnectionLost, VultusError, WebhookRefused
from vultus_client.photos import Photo
from vultus_client.retries import Retries
from vultus_client.uploads import Upload
from vultus_client.webhooks import verify_webhook

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "AsyncVultus",
    "ConnectionLost",
    "Photo",
    "Retries",
    "Upload",
    "Vultus",
    "VultusError",
    "WebhookRefused",
    "models",
    "problems",
    "verify_webhook",
]
