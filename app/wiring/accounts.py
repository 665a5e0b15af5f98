"""Construct what lets people in: sign-in, second factors, invitations and forgotten passwords."""

from dataclasses import dataclass
from datetime import timedelta

from app.persistence.connections.database import Database
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.security.tokens import TokenIssuer
from app.services.access.account_links import AccountDoors
from app.services.access.authentication import AuthService
from app.services.access.link_mails import LinkMails
from app.services.access.own_password import OwnPassword
from app.services.access.second_factors import SecondFactorService
from app.services.audit.trail import AuditTrails
from app.services.outbound.mail import Mailer, MailServer
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class AccountServices:
    """The services of accounts; one of each per process."""

    auth: AuthService
    second_factors: SecondFactorService
    account_doors: AccountDoors
    link_mails: LinkMails


def build_accounts(
    settings: Settings,
    database: Database,
    hasher: PasswordHasher,
    keyring: Keyring,
    trails: AuditTrails,
    mailer: Mailer,
) -> AccountServices:
    second_factors = SecondFactorService(database, keyring, trails, OwnPassword(database, hasher, keyring))
    tokens = build_token_issuer(settings, keyring)
    mails = LinkMails(mailer, settings.public_url)
    return AccountServices(
        AuthService(database, hasher, tokens, keyring, trails, second_factors),
        second_factors,
        AccountDoors(database, hasher, keyring, trails, mails),
        mails,
    )


def build_mailer(settings: Settings) -> Mailer:
    if settings.smtp_url is None or settings.mail_from is None:
        return Mailer(None)
    return Mailer(MailServer(settings.smtp_url.get_secret_value(), settings.mail_from))


def build_token_issuer(settings: Settings, keyring: Keyring) -> TokenIssuer:
    return TokenIssuer(
        keyring,
        access_lifetime=timedelta(minutes=settings.access_token_minutes),
        refresh_lifetime=timedelta(days=settings.refresh_token_days),
        console_lifetime=timedelta(hours=settings.console_session_hours),
    )
