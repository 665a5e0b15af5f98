"""Issue, list and revoke links for guests, and recognize a guest by the token of a link."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.domain.albums import AlbumLink
from app.errors import LinkNotFound
from app.permissions import Permission, Plan, Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.album_links import AlbumLinkRepository, find_link
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.usage import UsageRepository
from app.security.cursors import CursorSigner, read_created, write_created
from app.security.keyring import Keyring
from app.security.secret_tokens import SecretToken, TokenPrefix, hash_secret, is_same_hash
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail, AuditTrails
from app.services.paging import Page, PageRequest, cut_page
from app.services.people.rules import refuse_past_expiry

_PURPOSE = "album-links"


@dataclass(frozen=True, slots=True)
class IssuedLink:
    """A new link with its token, which is shown only once."""

    link: AlbumLink
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Guest:
    """Who searches an album by a link: a caller that may only recognize, and only in this album."""

    principal: Principal
    link: AlbumLink
    title: str | None
    """The album's."""


class AlbumLinkService:
    """The links of the caller's albums, within one transaction."""

    def __init__(
        self,
        albums: AlbumRepository,
        links: AlbumLinkRepository,
        keyring: Keyring,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._albums = albums
        self._links = links
        self._keyring = keyring
        self._cursors = cursors
        self._trail = trail

    async def issue(
        self, name: str, *, label: str | None, consent_text: str, rate: str, expires_at: datetime | None
    ) -> IssuedLink:
        """Issue a link that ends with the album at the latest.

        Raises `AlbumNotFound`, or `InvalidParameter` for an end in the past.
        """
        album = await self._albums.get(name)
        refuse_past_expiry(expires_at)
        token = SecretToken.generate(TokenPrefix.GUEST_LINK)
        key_id, key = self._keyring.current(_PURPOSE)
        link_id = await self._links.add(
            album.collection_id,
            public_id=token.public_id,
            key_id=key_id,
            secret_hmac=hash_secret(key, token.secret),
            created_by=self._trail.actor,
            label=label,
            consent_text=consent_text,
            rate=rate,
            expires_at=min(expires_at or album.expires_at, album.expires_at),
        )
        await self._trail.record(AuditAction.ALBUM_LINK_ISSUED, f"link:{link_id}", collection=name)
        link = await self._links.find(link_id)
        assert link is not None  # just added, and its end is in the future
        return IssuedLink(link, token.text)

    async def list(self, name: str, request: PageRequest) -> Page[AlbumLink]:
        """List one page of links that are neither revoked nor expired, oldest first; raises `AlbumNotFound`."""
        album = await self._albums.get(name)
        scope = f"{self._links.tenant_id}/albums/{album.collection_id}/links"
        after = self._cursors.open(scope, request.cursor, read_created) if request.cursor else None
        found = await self._links.list_page(album.collection_id, after, request.limit + 1)
        return cut_page(
            found, request.limit, lambda last: self._cursors.sign(scope, write_created(last.created_at, last.id))
        )

    async def revoke(self, name: str, link_id: UUID) -> None:
        """Revoke a link, effective immediately; raises `AlbumNotFound` or `LinkNotFound`."""
        album = await self._albums.get(name)
        if not await self._links.revoke(album.collection_id, link_id):
            raise LinkNotFound
        await self._trail.record(AuditAction.ALBUM_LINK_REVOKED, f"link:{link_id}", collection=name)


class GuestBook:
    """Recognizes guests by their links' tokens, and records their searches; one per process."""

    def __init__(self, database: Database, keyring: Keyring, trails: AuditTrails) -> None:
        self._database = database
        self._keyring = keyring
        self._trails = trails

    async def find(self, token: str) -> Guest:
        """Return the guest; raises `LinkNotFound`, whatever is wrong with the token."""
        parsed = SecretToken.parse(TokenPrefix.GUEST_LINK, token)
        if parsed is None:
            raise LinkNotFound
        async with self._database.transaction(lookup=parsed.public_id) as session:
            stored = await find_link(session, parsed.public_id)
        key = self._keyring.find(_PURPOSE, stored.key_id) if stored is not None else None
        if stored is None or key is None or not is_same_hash(hash_secret(key, parsed.secret), stored.secret_hmac):
            raise LinkNotFound
        tenant_id = stored.tenant_id
        async with self._database.transaction(tenant_id) as session:
            link = await AlbumLinkRepository(session, tenant_id).find(stored.id)
            album = await AlbumRepository(session, tenant_id).find(link.album) if link is not None else None
            plan = await UsageRepository(session, tenant_id).get_plan()
        if link is None or album is None or plan is None:
            raise LinkNotFound
        return Guest(_principal(tenant_id, link, plan), link, album.title)

    async def record_search(self, guest: Guest) -> None:
        """Record that the guest agreed to the link's text and searched."""
        tenant_id = guest.principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            await AlbumLinkRepository(session, tenant_id).count_search(guest.link.id)
            trail = self._trails.open(session, tenant_id, guest.principal.name)
            await trail.record(
                AuditAction.ALBUM_SEARCHED_BY_GUEST, f"link:{guest.link.id}", collection=guest.link.album, consent=True
            )


def _principal(tenant_id: UUID, link: AlbumLink, plan: Plan) -> Principal:
    may = frozenset({Permission.RECOGNIZE})
    return Principal(tenant_id, may, plan, link_id=link.id, collections=frozenset({link.album}))
