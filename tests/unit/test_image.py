"""What may be sent as an image, and what becomes of it."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from app import errors
from app.ml import heif
from app.ml.image import ImageLimits, open_photo
from app.ml.jpeg_structure import read_jpeg_structure
from app.ml.pixel_sources import LEVELS, EncodedSource, JpegSource
from tests import pictures

LIMITS = ImageLimits(max_bytes=2_000_000, max_pixels=4_000_000)


def decode(data: bytes) -> np.ndarray:
    """The whole picture at its own size."""
    photo = open_photo(data, LIMITS)
    return photo.render((0, 0, photo.width, photo.height), photo.width, photo.height)


def quarters(mode: str = "RGB") -> Image.Image:
    """Red, green, blue and white quarters, so that orientation and color order show."""
    image = Image.new("RGB", (64, 48), (255, 255, 255))
    image.paste((255, 0, 0), (0, 0, 32, 24))
    image.paste((0, 255, 0), (32, 0, 64, 24))
    image.paste((0, 0, 255), (0, 24, 32, 48))
    return image.convert(mode)


@pytest.mark.parametrize("form", pictures.FORMS)
def test_every_supported_format_becomes_upright_bgr(form: str) -> None:
    pixels = decode(pictures.encode(quarters(), form, quality=95))
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    assert pixels[8, 8].tolist() == pytest.approx([0, 0, 255], abs=16)
    assert pixels[40, 8].tolist() == pytest.approx([255, 0, 0], abs=16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = quarters()
    undo = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}.get(orientation, [])
    stored = upright
    for step in undo:
        stored = stored.transpose(Image.Transpose(step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(pictures.encode(stored, "PNG", exif=exif))
    assert np.array_equal(pixels[:, :, ::-1], np.asarray(upright))


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK"])
def test_other_modes_become_color(mode: str) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert decode(pictures.encode(quarters(mode), form)).shape == (48, 64, 3)


def test_cmyk_keeps_its_colors() -> None:
    pixels = decode(pictures.encode(quarters("CMYK"), "JPEG", quality=95))
    assert pixels[8, 8].tolist() == pytest.approx([0, 0, 255], abs=16)


def test_16_bit_gray_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)
    pixels = decode(pictures.encode(Image.fromarray(np.tile(ramp, (48, 1))), "PNG"))
    assert pixels[0, 0, 0] == 0
    assert pixels[0, 31, 0] == pytest.approx(126, abs=2)
    assert pixels[0, 63, 0] == 255


def test_transparency_lies_over_mid_gray() -> None:
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert (decode(pictures.encode(clear, "PNG")) == 128).all()


def test_the_second_picture_of_a_phone_jpeg_is_no_animation() -> None:
    first, second = quarters(), quarters("L").convert("RGB")
    data = pictures.encode(first, "MPO", save_all=True, append_images=[second])
    assert decode(data).shape == (48, 64, 3)


def test_broken_exif_does_not_spoil_a_good_picture() -> None:
    data = pictures.encode(quarters(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", errors.ImageEmpty),
        (b"not an image", errors.ImageUnreadable),
        (b"GIF89a" + bytes(100), errors.ImageTruncated),
        (b"\xff\xd8\xff", errors.ImageTruncated),
        (b"x" * 2_000_001, errors.ImageTooLarge),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, expected: type[errors.ImageRefused]) -> None:
    with pytest.raises(expected):
        decode(data)


@pytest.mark.parametrize("form", [form for form in pictures.FORMS if form != "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_image_is_refused(form: str, part: float) -> None:
    data = pictures.encode(pictures.portrait(3), form)
    with pytest.raises((errors.ImageTruncated, errors.ImageUnreadable)):
        decode(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    ("form", "said"), [("PNG", "3"), ("WEBP", "3"), ("AVIF", "3"), ("GIF", "several"), ("TIFF", "several")]
)
def test_an_animation_is_refused(form: str, said: str) -> None:
    with pytest.raises(errors.ImageAnimated, match=f"{said} frames"):
        decode(pictures.animation(form))


def test_a_bomb_is_refused_from_its_header() -> None:
    import resource

    data = pictures.bomb()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(errors.ImageTooManyPixels, match="900000000"):
        decode(data)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 50_000


def test_the_pixel_limit_names_size_and_limit() -> None:
    with pytest.raises(errors.ImageTooManyPixels, match=r"2001 x 2000 .* 4000000"):
        decode(pictures.encode(Image.new("1", (2001, 2000)), "PNG"))


def test_a_strip_is_refused() -> None:
    with pytest.raises(errors.ImageTooManyPixels, match="5100 x 100"):
        decode(pictures.encode(Image.new("L", (5100, 100)), "PNG"))


def test_random_damage_never_escapes_the_error_tree() -> None:
    rng = np.random.default_rng(0)
    for form in pictures.FORMS:
        good = pictures.encode(pictures.portrait(5, side=96), form)
        for _ in range(60):
            damaged = bytearray(good)
            for place in rng.integers(0, len(good), 6):
                damaged[place] = int(rng.integers(256))
            with contextlib.suppress(errors.ImageRefused):
                decode(bytes(damaged))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "size"), [("JPEG", (1602, 1203)), ("PNG", (1602, 1203)), ("WEBP", (1602, 1203)), ("JPEG", (333, 250))]
)
def test_every_level_shows_the_same_picture_at_the_same_place(
    form: str, size: tuple[int, int], orientation: int
) -> None:
    """A part warped out at several scales, whichever level that takes, is the part that Pillow would show."""
    ramp = np.zeros((size[1], size[0], 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 250, size[0])[None, :]
    ramp[..., 1] = np.linspace(0, 250, size[1])[:, None]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = pictures.encode(Image.fromarray(ramp), form, exif=exif, quality=95)
    with Image.open(io.BytesIO(data)) as stored:
        truth = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))[:, :, ::-1].astype(float)
    limits = ImageLimits(max_bytes=10_000_000, max_pixels=4_000_000)
    for scale in (1.0, 0.5, 0.25, 0.1):
        photo = open_photo(data, limits)
        assert (photo.height, photo.width) == truth.shape[:2]
        center = np.array([photo.width * 0.4, photo.height * 0.6])
        transform = np.column_stack([np.eye(2) * scale, np.array([16, 16]) - scale * center])
        crop = photo.warp(transform, 32)
        inside = [(x, y) for y in range(4, 28, 6) for x in range(4, 28, 6)]
        for x, y in inside:
            at = (np.array([x, y]) - transform[:, 2]) / scale
            if 8 < at[0] < photo.width - 9 and 8 < at[1] < photo.height - 9:
                assert crop[y, x] == pytest.approx(truth[round(at[1]), round(at[0])], abs=5)
        box = (photo.width * 0.25, photo.height * 0.25, photo.width * 0.75, photo.height * 0.75)
        view = photo.render(box, max(8, round(photo.width * scale / 2)), max(8, round(photo.height * scale / 2)))
        middle = view[view.shape[0] // 2, view.shape[1] // 2]
        assert middle == pytest.approx(truth[photo.height // 2, photo.width // 2], abs=6)


def test_a_large_jpeg_is_decoded_no_finer_than_it_is_looked_at() -> None:
    photo = open_photo(pictures.encode(pictures.portrait(3, side=1900), "JPEG"), LIMITS)
    photo.render((0, 0, photo.width, photo.height), 320, 320)
    assert photo._source.levels == {4}
    photo.warp(np.array([[1.0, 0, -900], [0, 1.0, -900]]), 112)
    assert photo._source.levels == {4, 1}


def test_a_progressive_jpeg_is_decoded_at_half_the_resolution_if_memory_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = ImageLimits(max_bytes=10**7, max_pixels=600 * 600)
    data = pictures.encode(pictures.portrait(3, side=600), progressive=True, subsampling=2, quality=95)
    transform = np.array([[1.0, 0, -200], [0, 1.0, -200]])
    usual = open_photo(data, limits).warp(transform, 112)
    monkeypatch.setattr("app.ml.image.MEMORY_ABOVE_PIXELS", 600 * 600)
    photo = open_photo(data, limits)
    assert np.abs(photo.warp(transform, 112).astype(int) - usual).mean() <= 8
    assert photo._source.levels == {2}
    monkeypatch.setattr("app.ml.image.MEMORY_ABOVE_PIXELS", 0)
    with pytest.raises(errors.ImageTooManyPixels, match="360000 pixels; the limit for progressive JPEGs"):
        open_photo(data, limits)


@pytest.mark.parametrize("form", ["WEBP", "AVIF", "TIFF", "GIF"])
def test_a_format_that_takes_more_memory_has_its_own_limit(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = ImageLimits(max_bytes=10**7, max_pixels=320 * 320)
    data = pictures.encode(pictures.portrait(3), form)
    open_photo(data, limits)
    monkeypatch.setattr("app.ml.image.MEMORY_ABOVE_PIXELS", 0)
    with pytest.raises(
        errors.ImageTooManyPixels, match=r"320 x 320 = 102400 pixels; the limit for .* files of its kind"
    ):
        open_photo(data, limits)


def test_what_lies_outside_the_picture_is_black() -> None:
    photo = open_photo(pictures.encode(Image.new("RGB", (60, 60), (255, 255, 255)), "PNG"), LIMITS)
    crop = photo.warp(np.array([[1.0, 0, 20], [0, 1.0, 20]]), 112)
    assert crop[:18].max() == 0
    assert crop[40, 40].min() == 255
    assert crop[90:].max() == 0
    assert photo.warp(np.array([[1.0, 0, 500], [0, 1.0, 500]]), 112).max() == 0


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_without_its_end_is_refused(mode: str) -> None:
    data = pictures.encode(pictures.portrait(3).convert(mode), "JPEG")
    with pytest.raises(errors.ImageTruncated):
        decode(data[:-3000])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_in_its_data_is_refused_in_spite_of_an_end_marker(
    progressive: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    data = pictures.encode(pictures.portrait(3), "JPEG", progressive=progressive)
    with pytest.raises(errors.ImageTruncated):
        decode(data[: int(len(data) * 0.4)] + b"\xff\xd9")
    assert capfd.readouterr().err == ""  # libjpeg's warnings would break a log in JSON


def test_a_jpeg_with_foreign_bytes_in_its_data_is_refused() -> None:
    data = bytearray(pictures.encode(pictures.portrait(3), "JPEG"))
    data[-400:-380] = b"\x00\xff\xd0" + bytes(17)  # a restart marker where the file has none
    with pytest.raises(errors.ImageTruncated):
        decode(bytes(data))


def png_chunk(kind: bytes, content: bytes, *, damaged: bool = False) -> bytes:
    checksum = zlib.crc32(kind + content) ^ damaged
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Comment\0hello", damaged=True),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_200_000))),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(1_500_000))),
        png_chunk(b"gAMA", b"\0\0"),
        png_chunk(b"pHYs", b"\0" * 5),
        png_chunk(b"eXIf", b"II*\0", damaged=True),
    ],
    ids=["text", "long text", "long profile", "gamma", "resolution", "exif"],
)
def test_damaged_or_huge_metadata_of_a_png_is_no_damage(chunk: bytes) -> None:
    data = pictures.encode(quarters(), "PNG")
    after_header = 8 + 25
    assert np.array_equal(decode(data[:after_header] + chunk + data[after_header:]), decode(data))


def test_the_orientation_of_a_png_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = open_photo(pictures.encode(quarters(), "PNG", exif=exif), LIMITS)
    assert (turned.width, turned.height) == (48, 64)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc", "a HEIC sequence"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "an MP4 video"),
        (b"II+\0" + bytes(100), "a BigTIFF"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_an_unsupported_file_is_named(data: bytes, said: str) -> None:
    with pytest.raises(errors.ImageUnreadable, match=rf"They are {said}\."):
        decode(data)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_libjpeg_and_opencv_decode_a_jpeg_alike_at_every_level(mode: str, progressive: bool, subsampling: int) -> None:
    portrait = pictures.portrait(4, side=301).convert(mode)
    data = pictures.encode(portrait, "JPEG", progressive=progressive, subsampling=subsampling)
    for level in LEVELS:
        side = -(-301 // level)
        ours, opencvs = (source(data, 301, 301).cut(level, 0, 0, side, side) for source in (JpegSource, EncodedSource))
        assert np.abs(ours.astype(int) - opencvs).max() <= 2


def test_libjpeg_and_pillow_decode_a_jpeg_alike() -> None:
    data = pictures.encode(pictures.portrait(4, side=300), "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))[:, :, ::-1].astype(int)
    assert np.abs(decode(data) - expected).max() <= 2


def test_heic_photos_stand_upright_as_their_own_transformation_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = open_photo(pictures.encode(quarters(), "HEIF", exif=exif.tobytes()), LIMITS)
    assert (photo.width, photo.height) == (48, 64)
    pixels = photo.render((0, 0, 48, 64), 48, 64)
    assert pixels[8, 8].tolist() == pytest.approx([255, 0, 0], abs=24)


def test_without_the_optional_package_an_error_says_that_the_photo_is_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures.encode(quarters(), "HEIF")
    monkeypatch.setattr(heif, "IS_AVAILABLE", False)
    with pytest.raises(errors.ImageUnreadable, match=r"They are HEIC, which this server does not read"):
        decode(data)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {}),
        ("1", {}),
        ("P", {}),
        ("CMYK", {}),
        ("RGB", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg"}),
        ("RGBA", {"compression": "tiff_adobe_deflate"}),
        ("LA", {}),
    ],
)
def test_tiff_of_many_kinds(mode: str, options: dict[str, str]) -> None:
    pixels = decode(pictures.encode(quarters(mode), "TIFF", **options))
    assert pixels.shape == (48, 64, 3)
    assert int(pixels[8, 8].max()) < int(pixels[40, 40].min()) + 1


def test_a_bmp_with_run_length_compression_is_refused() -> None:
    header = struct.pack("<2sIHHI", b"BM", 1100, 0, 0, 54 + 1024)
    info = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, 20, 0, 0, 256, 0)
    with pytest.raises(errors.ImageModeUnsupported, match="run-length"):
        decode(header + info + bytes(1024) + b"\x08\x01" * 8 + b"\0\1")


def test_a_tiff_in_too_many_parts_is_refused_before_they_are_listed() -> None:
    entry = struct.pack("<HHII", 273, 4, 1_000_000, 100)
    with pytest.raises(errors.ImageTooComplex, match="1000000 parts"):
        decode(b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(100))


def test_markers_inside_a_comment_do_not_hide_scans() -> None:
    data = pictures.encode(pictures.portrait(1, side=64), progressive=True)
    comment = b"\xff\xfe\x00\x06\xff\xd9\xff\xda"
    structure = read_jpeg_structure(data)
    commented = read_jpeg_structure(data[:2] + comment + data[2:])
    filled = read_jpeg_structure(data.replace(b"\xff\xda", b"\xff\xff\xff\xda"))
    for other in (commented, filled):
        assert (other.scans, other.is_complete, other.frame) == (10, True, structure.frame)
    assert structure.scans == 10
    assert structure.frame is not None
    assert structure.frame.is_progressive


@pytest.mark.parametrize(("subsampling", "samples"), [(0, 3.0), (1, 2.0), (2, 1.5)])
def test_the_structure_of_a_jpeg_says_how_many_samples_it_has(subsampling: int, samples: float) -> None:
    structure = read_jpeg_structure(pictures.encode(pictures.portrait(1, side=64), subsampling=subsampling))
    frame = structure.frame
    assert frame is not None
    assert (frame.width, frame.height, frame.components, frame.samples_per_pixel) == (64, 64, 3, samples)
    assert (frame.is_progressive, structure.is_complete) == (False, True)


def test_pixels_in_all_scans_have_a_limit() -> None:
    data = pictures.encode(Image.new("L", (1900, 1900)), progressive=True)
    scans = read_jpeg_structure(data).scans
    decode(data)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(errors.ImageTooComplex, match=r"scans of 1900 x 1900 pixels"):
        decode(data[:-2] + data[last:-2] * (25 - scans) + data[-2:])
