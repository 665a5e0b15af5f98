"""Open what lies outside the database: the spool of waiting photos, and the erasure journal."""

from app.persistence.erasure_journal import ErasureJournal, Journal
from app.persistence.journal_bucket import BucketJournal
from app.persistence.object_address import ObjectAddress
from app.persistence.photo_spool import PhotoSpool
from app.security.keyring import Keyring
from app.security.photo_encryption import PhotoCipher
from app.settings import Settings


def open_spool(settings: Settings, keyring: Keyring) -> PhotoSpool:
    """Open the spool that the settings name."""
    address = settings.photo_store or str(settings.resolved_data_dir / "photos")
    return PhotoSpool(_parse(settings, address), PhotoCipher(keyring))


def open_journal(settings: Settings) -> Journal:
    """Open the erasure journal that the settings name: a file of this host, or a bucket of all hosts."""
    file = ErasureJournal(settings.erasure_journal_path)
    if settings.erasure_journal.startswith("s3://"):
        return BucketJournal(_parse(settings, settings.erasure_journal), file)
    return file


def _parse(settings: Settings, address: str) -> ObjectAddress:
    secret = settings.photo_store_secret_access_key
    return ObjectAddress.parse(
        address,
        endpoint=settings.photo_store_endpoint,
        public_endpoint=settings.photo_store_public_endpoint,
        region=settings.photo_store_region,
        access_key_id=settings.photo_store_access_key_id,
        secret_access_key=secret.get_secret_value() if secret is not None else None,
    )
