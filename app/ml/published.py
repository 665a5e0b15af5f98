"""List the packs that InsightFace publishes: files, pinned SHA-256 digests, license, threshold.

The digests belong to the files in InsightFace's release `model-zoo` (formerly v0.7) and agree with those that several
independent projects pin. The thresholds are cautious defaults, not calibrations.
"""

from dataclasses import dataclass

RESEARCH_LICENSE = "InsightFace weights: non-commercial research use only (the code is MIT)"


@dataclass(frozen=True, slots=True)
class PublishedPack:
    """Describes a published pack before its download; digests are SHA-256 in lower-case hex."""

    name: str
    detection: str
    detection_sha256: str
    recognition: str
    recognition_sha256: str
    threshold: float
    download_mb: int
    note: str
    attributes: str | None = None
    """The network of age and gender, which may be absent from an installed pack."""
    attributes_sha256: str | None = None
    """None if nobody pins it: such a file is trusted on first use."""


_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"
_SCRFD_500M = "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"
_W600K_R50 = "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"
_W600K_MBF = "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"
_GENDERAGE = "4fde69b1c810857b88c64a335084f1c3fe8f01246c9a191b48c7bb756d6652fb"
_GLINTR100 = "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"

PUBLISHED: dict[str, PublishedPack] = {
    pack.name: pack
    for pack in (
        PublishedPack(
            "buffalo_l",
            "det_10g.onnx",
            _SCRFD_10G,
            "w600k_r50.onnx",
            _W600K_R50,
            threshold=0.40,
            download_mb=276,
            note="SCRFD-10G, ResNet-50 on WebFace600K; the default",
            attributes="genderage.onnx",
            attributes_sha256=_GENDERAGE,
        ),
        PublishedPack(
            "buffalo_s",
            "det_500m.onnx",
            _SCRFD_500M,
            "w600k_mbf.onnx",
            _W600K_MBF,
            threshold=0.45,
            download_mb=122,
            note="SCRFD-500M, MobileFaceNet on WebFace600K; small and fast",
            attributes="genderage.onnx",
        ),
        PublishedPack(
            "buffalo_sc",
            "det_500m.onnx",
            _SCRFD_500M,
            "w600k_mbf.onnx",
            _W600K_MBF,
            threshold=0.45,
            download_mb=15,
            note="buffalo_s without age and gender, and without unused networks",
        ),
        PublishedPack(
            "antelopev2",
            "scrfd_10g_bnkps.onnx",
            _SCRFD_10G,
            "glintr100.onnx",
            _GLINTR100,
            threshold=0.40,
            download_mb=344,
            note="SCRFD-10G, ResNet-100 on Glint360K; slower, more accurate",
            attributes="genderage.onnx",
            attributes_sha256=_GENDERAGE,
        ),
    )
}
