"""Invite people, and let users set a forgotten password, each by a link that works once."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.domain.accounts import AccountLink, Invitation, LinkKind
from app.domain.tenancy import TenantOverview, UserRecord
from app.domain.text import normalize_email
from app.errors import EmailTaken, InvitationNotFound, LinkNotFound, MailNotConfigured, Overloaded, PermissionDenied
from app.permissions import ROLE_PERMISSIONS, Permission, Principal, Quota, Role, permissions_of
from app.persistence.connections.database import Database, Transaction
from app.persistence.repositories.account_links import AccountLinkRepository, find_account_link
from app.persistence.repositories.keys import ApiKeyRepository
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.usage import UsageRepository
from app.persistence.repositories.users import LoginDirectory, UserRepository
from app.security.cursors import CursorSigner, read_created, write_created
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.security.secret_tokens import SecretToken, TokenPrefix, hash_secret, is_same_hash
from app.services.access.attempts import GuessLimit
from app.services.access.link_mails import LinkMails
from app.services.audit.actions import AuditAction
from app.services.audit.trail import OPERATOR, AuditTrail, AuditTrails
from app.services.background import log_and_continue
from app.services.paging import Page, PageRequest, cut_page
from app.services.tenancy.quotas import QuotaService

INVITATION_LIFETIME = timedelta(days=7)
RESET_LIFETIME = timedelta(hours=1)

_PURPOSE = "account-links"
_FORGOTTEN = "forgotten"
"""Who creates the link of somebody that forgot the password."""
_MAX_FORGOTTEN_PER_HOUR = 3
_MAX_IN_BACKGROUND = 50
_PREFIXES = {LinkKind.INVITATION: TokenPrefix.INVITATION, LinkKind.RESET: TokenPrefix.PASSWORD_RESET}


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """A new invitation with its token, which is shown only once."""

    invitation: Invitation
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IssuedReset:
    """A new link to set a password, with its token, which is shown only once."""

    user_id: UUID
    email: str
    expires_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownLink:
    """What the owner of a link sees before they use it."""

    link: AccountLink
    tenant: str


class AccountLinkService:
    """The invitations of the caller's tenant and the resets of its users' passwords, within one transaction."""

    def __init__(
        self,
        links: AccountLinkRepository,
        users: UserRepository,
        principal: Principal | None,
        keyring: Keyring,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        """`principal` is None for the operator, who may do everything."""
        self._links = links
        self._users = users
        self._principal = principal
        self._keyring = keyring
        self._cursors = cursors
        self._trail = trail

    async def invite(self, email: str, role: Role) -> IssuedInvitation:
        """Invite somebody; earlier invitations of the same email end.

        Raises `EmailTaken` for a user of the tenant, or `PermissionDenied` for a role with more permissions than the
        caller's.
        """
        self._refuse_escalation(role)
        if await self._users.find_by_email(email) is not None:
            raise EmailTaken
        await self._links.end_invitations_of(email)
        token, link_id = await self._issue(LinkKind.INVITATION, email, INVITATION_LIFETIME, role=role.value)
        await self._trail.record(AuditAction.INVITATION_ISSUED, f"invitation:{link_id}", role=role.value)
        invitation = await self._links.find_invitation(link_id)
        assert invitation is not None  # just added
        return IssuedInvitation(invitation, token)

    async def list_invitations(self, request: PageRequest) -> Page[Invitation]:
        """List one page of invitations that can be accepted, oldest first; raises `InvalidCursor`."""
        scope = f"{self._links.tenant_id}/invitations"
        after = self._cursors.open(scope, request.cursor, read_created) if request.cursor else None
        found = await self._links.list_invitations(after, request.limit + 1)
        return cut_page(
            found, request.limit, lambda last: self._cursors.sign(scope, write_created(last.created_at, last.id))
        )

    async def revoke_invitation(self, link_id: UUID) -> None:
        """Revoke an invitation; raises `InvitationNotFound`."""
        if not await self._links.end(link_id, LinkKind.INVITATION):
            raise InvitationNotFound
        await self._trail.record(AuditAction.INVITATION_REVOKED, f"invitation:{link_id}")

    async def issue_reset(self, user: UserRecord) -> IssuedReset:
        """Create a link by which a user sets a new password.

        Raises `PermissionDenied` for a user with more permissions than the caller: the link's owner can act as them.
        """
        self._refuse_escalation(Role(user.role))
        token, _ = await self._issue(LinkKind.RESET, user.email, RESET_LIFETIME, user_id=user.id)
        await self._trail.record(AuditAction.RESET_LINK_ISSUED, f"user:{user.id}")
        return IssuedReset(user.id, user.email, datetime.now(UTC) + RESET_LIFETIME, token)

    async def _issue(
        self, kind: LinkKind, email: str, lifetime: timedelta, *, role: str | None = None, user_id: UUID | None = None
    ) -> tuple[str, UUID]:
        token = SecretToken.generate(_PREFIXES[kind])
        key_id, key = self._keyring.current(_PURPOSE)
        link_id = await self._links.add(
            kind,
            email=email,
            public_id=token.public_id,
            key_id=key_id,
            secret_hmac=hash_secret(key, token.secret),
            created_by=self._trail.actor,
            expires_at=datetime.now(UTC) + lifetime,
            role=role,
            user_id=user_id,
        )
        return token.text, link_id

    def _refuse_escalation(self, role: Role) -> None:
        if self._principal is not None and not ROLE_PERMISSIONS[role] <= self._principal.permissions:
            raise PermissionDenied(
                f"role: {role.value!r} has permissions that you do not have, so you can neither grant it nor reset the "
                f"password of a user who has it."
            )


class AccountDoors:
    """Let the owners of links in, and send a link to people who forgot their password; one per process.

    Opens its own transactions, for the same reasons as `AuthService`.
    """

    def __init__(
        self, database: Database, hasher: PasswordHasher, keyring: Keyring, trails: AuditTrails, mails: LinkMails
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._keyring = keyring
        self._trails = trails
        self._mails = mails
        self._background: set[asyncio.Task[None]] = set()

    async def show(self, token: str) -> ShownLink:
        """Return what a link is for; raises `LinkNotFound`, whatever is wrong with it."""
        tenant_id, link_id, kind = await self._find(token)
        async with self._database.transaction(tenant_id) as session:
            link = await AccountLinkRepository(session, tenant_id).find(link_id, kind)
            tenant = await UsageRepository(session, tenant_id).get_overview()
        if link is None or tenant is None:
            raise LinkNotFound
        return ShownLink(link, tenant.name)

    async def accept_invitation(self, token: str, password: str) -> UserRecord:
        """Add the invited user with a password.

        Raises `LinkNotFound`, also if whoever invited may not grant the role anymore; `EmailTaken` or `QuotaExceeded`.
        """
        tenant_id, link_id, kind = await self._find(token, LinkKind.INVITATION)
        password_hash = await self._hasher.hash(password)
        async with self._database.transaction(tenant_id) as session:
            links = AccountLinkRepository(session, tenant_id)
            link = await links.find(link_id, kind, lock=True)
            tenant = await UsageRepository(session, tenant_id).get_overview()
            if link is None or link.role is None or tenant is None:
                raise LinkNotFound
            role, users = Role(link.role), UserRepository(session, tenant_id)
            if not ROLE_PERMISSIONS[role] <= await _permissions_of_actor(session, tenant_id, link.created_by):
                raise LinkNotFound
            user_id = await users.add(email=link.email, password_hash=password_hash, role=role)
            if user_id is None:
                raise EmailTaken
            await _check_quota(session, tenant_id, tenant)
            await links.end(link_id, kind)
            trail = self._trails.open(session, tenant_id, f"user:{user_id}")
            target = f"invitation:{link_id}"
            await trail.record(AuditAction.INVITATION_ACCEPTED, target, user=f"user:{user_id}", role=role.value)
            user = await users.find(user_id)
        assert user is not None  # just added
        return user

    async def reset_password(self, token: str, password: str) -> None:
        """Set the password of a link's user, end all their sessions and other links; raises `LinkNotFound`."""
        tenant_id, link_id, kind = await self._find(token, LinkKind.RESET)
        password_hash = await self._hasher.hash(password)
        async with self._database.transaction(tenant_id) as session:
            links = AccountLinkRepository(session, tenant_id)
            link = await links.find(link_id, kind, lock=True)
            if link is None or link.user_id is None:
                raise LinkNotFound
            await UserRepository(session, tenant_id).update(link.user_id, password_hash=password_hash)
            await SessionRepository(session, tenant_id).revoke_all(link.user_id)
            await links.end_resets_of(link.user_id)
            await GuessLimit(self._keyring, link.email, "").reset_account(session)
            trail = self._trails.open(session, tenant_id, f"user:{link.user_id}")
            await trail.record(AuditAction.PASSWORD_CHANGED, f"user:{link.user_id}", by="link")

    def forget(self, email: str) -> None:
        """Begin to mail a link to the user with this email, if there is one; answers alike if not.

        Raises `MailNotConfigured`, or `Overloaded` if too many wait.
        """
        if not self._mails.is_configured:
            raise MailNotConfigured
        if len(self._background) >= _MAX_IN_BACKGROUND:
            raise Overloaded(f"{len(self._background)} forgotten passwords are waiting, which is the limit; try again.")
        task = asyncio.get_running_loop().create_task(self._mail_reset(normalize_email(email)))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Wait for what goes on in the background."""
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _mail_reset(self, email: str) -> None:
        with log_and_continue("forgotten_password_failed"):
            async with self._database.transaction(lookup=email) as session:
                login = await LoginDirectory(session).find(email)
            if login is None:
                return
            async with self._database.transaction(login.tenant_id) as session:
                links = AccountLinkRepository(session, login.tenant_id)
                users = UserRepository(session, login.tenant_id)
                user = await users.find(login.user_id, lock=True)  # so that concurrent requests are counted
                since = datetime.now(UTC) - RESET_LIFETIME
                count = await links.count_resets_of(login.user_id, _FORGOTTEN, since)
                if user is None or count >= _MAX_FORGOTTEN_PER_HOUR:
                    return
                trail = self._trails.open(session, login.tenant_id, _FORGOTTEN)
                cursors = CursorSigner(self._keyring)
                service = AccountLinkService(links, users, None, self._keyring, cursors, trail)
                issued = await service.issue_reset(user)
            self._mails.send_reset(issued.email, issued.token)

    async def _find(self, token: str, kind: LinkKind | None = None) -> tuple[UUID, UUID, LinkKind]:
        """Return the tenant, the id and the kind of a link, live or not; raises `LinkNotFound`."""
        for one in [kind] if kind is not None else list(LinkKind):
            parsed = SecretToken.parse(_PREFIXES[one], token)
            if parsed is None:
                continue
            async with self._database.transaction(lookup=parsed.public_id) as session:
                stored = await find_account_link(session, parsed.public_id)
            key = self._keyring.find(_PURPOSE, stored.key_id) if stored is not None else None
            if stored is not None and key and is_same_hash(hash_secret(key, parsed.secret), stored.secret_hmac):
                return stored.tenant_id, stored.id, one
        raise LinkNotFound


async def _check_quota(session: Transaction, tenant_id: UUID, tenant: TenantOverview) -> None:
    await QuotaService(UsageRepository(session, tenant_id), tenant.plan).check(Quota.USERS)


async def _permissions_of_actor(session: Transaction, tenant_id: UUID, actor: str) -> frozenset[Permission]:
    """Return what the user or key that created a link may do now."""
    if actor == OPERATOR:
        return frozenset(Permission)
    kind, _, actor_id = actor.partition(":")
    if kind == "user":
        user = await UserRepository(session, tenant_id).find(UUID(actor_id))
        return ROLE_PERMISSIONS[Role(user.role)] if user is not None else frozenset()
    key = await ApiKeyRepository(session, tenant_id).find(UUID(actor_id))
    return permissions_of(key.scopes) if key is not None else frozenset()
