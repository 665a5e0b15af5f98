"""Write the mails with links to set a password; the links need the address at which browsers reach this server."""

from app.services.outbound.mail import Mailer

_INVITATION = """You are invited to the tenant {tenant} of a face-recognition service.

Follow this link within 7 days to choose a password:

{link}

If you do not know why you got this mail, ignore it.
"""
_RESET = """Somebody, probably you, asked for a new password for this email address.

Follow this link within one hour to choose one:

{link}

If it was not you, ignore this mail: your password stays as it is.
"""


class LinkMails:
    """Sends links by mail where the operator configured it."""

    def __init__(self, mailer: Mailer, public_url: str | None) -> None:
        self._mailer = mailer
        self._public_url = public_url or ""

    @property
    def is_configured(self) -> bool:
        return self._mailer.is_configured

    def link_to_invitation(self, token: str) -> str:
        """Return the page that accepts an invitation: an address, or a path where no public address is set."""
        return f"{self._public_url}/console/invitation#{token}"

    def link_to_reset(self, token: str) -> str:
        """Return the page that sets a new password: an address, or a path where no public address is set."""
        return f"{self._public_url}/console/reset#{token}"

    def send_invitation(self, email: str, tenant: str, token: str) -> None:
        text = _INVITATION.format(tenant=tenant, link=self.link_to_invitation(token))
        self._mailer.post(email, f"Invitation to {tenant}", text)

    def send_reset(self, email: str, token: str) -> None:
        self._mailer.post(email, "Choose a new password", _RESET.format(link=self.link_to_reset(token)))
