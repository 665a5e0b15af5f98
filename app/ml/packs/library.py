"""Find, install and verify model packs; `download.py` downloads them.

Published packs must have the digests pinned in `published.py`. Other packs are trusted on first use and refused when
their files change later.
"""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Self

import httpx

from app.errors import ModelPackRefused, ModelPackUnavailable
from app.ml.digests import DigestBook
from app.ml.packs.download import RELEASE, download_networks
from app.ml.packs.pack import MIRROR_SUFFIX, ModelPack, mirror_pack, read_pack
from app.ml.published import PUBLISHED, PublishedPack
from app.ml.synthetic.pack import write_synthetic_pack
from app.settings import Settings

SYNTHETIC = "synthetic"


class PackLibrary:
    """Finds packs by directory or by name: in the cache, among InsightFace's downloads, or generated here."""

    def __init__(self, *, cache: Path, data_dir: Path) -> None:
        self._cache = cache.expanduser() / "models"
        self._data_dir = data_dir
        self._digests = DigestBook(data_dir / "model-digests.json")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(cache=settings.model_cache, data_dir=settings.resolved_data_dir)

    def find(self, name: str, *, may_download: bool = True) -> ModelPack:
        """Find and verify a pack; `name` is a directory or a pack's name, either of them with `+mirror` or without.

        A directory wins over the cache, the cache over a download. Raises `ModelPackUnavailable` if there is no such
        pack, `ModelPackRefused` if its files are wrong.
        """
        if name.endswith(MIRROR_SUFFIX):
            plain = name.removesuffix(MIRROR_SUFFIX)
            if not plain or plain.endswith(MIRROR_SUFFIX):
                raise ModelPackUnavailable(f"{name!r} names no pack.")
            return mirror_pack(self.find(plain, may_download=may_download))
        directory = Path(name).expanduser()
        if directory.is_dir():
            return self._open(directory.resolve(), PUBLISHED.get(directory.name))
        if name == SYNTHETIC:
            return self._open(write_synthetic_pack(self._data_dir / "models"))
        if os.sep in name:
            raise ModelPackUnavailable(f"No model pack: {name} is not a directory.")
        cached = self._find_cached(name)
        if cached is not None:
            return self._open(cached, PUBLISHED.get(name))
        if may_download and name in PUBLISHED:
            return self.install(name)
        raise ModelPackUnavailable(_unavailable_message(name, self._cache, "it is not in the cache"))

    def install(self, name: str) -> ModelPack:
        """Download a published pack, verify it and move it into the cache, replacing an older copy.

        Raises `ModelPackUnavailable` if the download fails, `ModelPackRefused` if a digest differs.
        """
        if name.endswith(MIRROR_SUFFIX):
            return mirror_pack(self.install(name.removesuffix(MIRROR_SUFFIX)))
        if name not in PUBLISHED:
            raise ModelPackUnavailable(f"{name!r} is not a published pack; those are: {', '.join(PUBLISHED)}.")
        self._cache.mkdir(parents=True, exist_ok=True)
        # A broken download must never look like a pack: download next to it, verify, then rename.
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=self._cache) as partial:
            downloaded = self._download(name, Path(partial))
            _check_pinned(read_pack(downloaded, PUBLISHED[name]), PUBLISHED[name])
            target = self._cache / name
            shutil.rmtree(target, ignore_errors=True)
            os.replace(downloaded, target)
        return self._open(self._cache / name, PUBLISHED[name])

    def accept(self, name: str) -> None:
        """Record the current digests of an unpinned pack, even if they changed; for `name` see `find`."""
        plain = name.removesuffix(MIRROR_SUFFIX)
        directory = Path(plain).expanduser()
        directory = directory.resolve() if directory.is_dir() else self._find_cached(plain) or directory
        pack = read_pack(directory)
        for file in pack.files:
            self._digests.accept(file.path, file.sha256)

    def installed(self) -> list[str]:
        """List the names of the packs in the cache, sorted."""
        if not self._cache.is_dir():
            return []
        return sorted(path.name for path in self._cache.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _find_cached(self, name: str) -> Path | None:
        directory = self._cache / name
        return _unnest(directory) if directory.is_dir() else None

    def _download(self, name: str, partial: Path) -> Path:
        try:
            download_networks(f"{RELEASE}/{name}.zip", partial / name)
        except (OSError, httpx.HTTPError, zipfile.BadZipFile) as exc:
            raise ModelPackUnavailable(_unavailable_message(name, self._cache, "the download failed")) from exc
        return partial / name

    def _open(self, directory: Path, published: PublishedPack | None = None) -> ModelPack:
        pack = read_pack(directory, published)
        if published is not None:
            _check_pinned(pack, published)
            if pack.attributes is not None and published.attributes_sha256 is None:
                self._digests.check(pack.attributes.path, pack.attributes.sha256)
        elif not pack.knows_only_drawings:
            for file in pack.files:
                self._digests.check(file.path, file.sha256)
        return pack


def _check_pinned(pack: ModelPack, published: PublishedPack) -> None:
    pinned = [(pack.detection, published.detection_sha256), (pack.recognition, published.recognition_sha256)]
    if pack.attributes is not None and published.attributes_sha256 is not None:
        pinned.append((pack.attributes, published.attributes_sha256))
    for file, expected in pinned:
        if file.sha256 != expected:
            raise ModelPackRefused(
                f"{file.path} is not the published {published.name}: SHA-256 is {file.sha256}, should be "
                f"{expected}. Delete the directory and run `vultus models install {published.name}`."
            )


def _unnest(directory: Path) -> Path:
    """Return the directory of the same name inside, which some published archives have."""
    inner = directory / directory.name
    return inner if inner.is_dir() and not any(directory.glob("*.onnx")) else directory


def _unavailable_message(name: str, cache: Path, reason: str) -> str:
    return (
        f"No model pack: {name!r} is configured, but {reason}. Choose one:\n"
        f"  1. VULTUS_MODEL_PACK=/path/to/pack   a directory with InsightFace's ONNX files;\n"
        f"  2. vultus models install {name}   on a machine with internet access, then copy {cache / name} here;\n"
        f"  3. VULTUS_MODEL_PACK=synthetic   generated here; recognizes only drawn faces, for trying things out."
    )
