"""Errors of webhooks and events."""

from app.errors.availability import TooManyRequests
from app.errors.requests import RequestRefused
from app.errors.resources import Conflict, NotFound


class WebhookNotFound(NotFound):
    """The webhook does not exist."""

    code = "webhook_not_found"
    remedy = "List the webhooks."


class TooManyWebhooks(Conflict):
    """The tenant has the maximum number of webhooks."""

    code = "too_many_webhooks"
    remedy = "Delete one first; a tenant has 20 at most."


class TooManyStreams(TooManyRequests):
    """The tenant watches the maximum number of streams of events."""

    code = "too_many_streams"
    remedy = "End one first; a tenant watches 20 at a server process at most."


class WebhookUrlNotAllowed(RequestRefused):
    """Messages may not be sent to this URL."""

    code = "webhook_url_not_allowed"
    remedy = "Use https and a public address, or ask the operator (`VULTUS_WEBHOOK_INTERNAL_HOSTS`)."
