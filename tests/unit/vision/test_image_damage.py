"""Damage and contradictions of each format, one by one: refused with what is wrong, or harmless."""

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from siad.vision.images import ImageError, decode_image, decode_with_alpha, describe_image
from tests.image_files import pillow, samples, scaled, smooth, tifffile_of
from tests.image_writers import bmp, chunk, packed, png, png_of, tiff, tiff_tags

GREY = samples(8)
ROWS = b"".join(b"\0" + row for row in packed(GREY, 8))
HEADER = (GREY.shape[1], GREY.shape[0], 8, 0)
CODED = zlib.compress(ROWS)
BASELINE = pillow(smooth(), "JPEG", quality=95)
RESTARTS = pillow(smooth(), "JPEG", quality=95, restart_marker_rows=1, subsampling=0)
TRANSPARENT_WEBP = pillow(np.dstack([smooth(), GREY]), "WEBP")
PROGRESSIVE = pillow(smooth(), "JPEG", quality=95, progressive=True)


def refusal(data: bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    return caught.value.reason, str(caught.value)


def without_segments(data: bytes, *markers: int) -> bytes:
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += b"" if data[at + 1] in markers else data[at:end]
        at = end
    return kept + data[at:]


def with_frame(data: bytes, old: int, new: int, **fields: bytes) -> bytes:
    """The frame header with another marker or other bytes at a place."""
    at = data.index(bytes([0xFF, old]))
    changed = bytearray(data)
    changed[at + 1] = new
    for place, value in fields.items():
        start = at + int(place.removeprefix("at"))
        changed[start : start + len(value)] = value
    return bytes(changed)


def page(**more: Any) -> bytes:
    """An uncompressed grey TIFF with other tags; a tag of None is left out."""
    tags = tiff_tags(GREY, 8, 1) | {int(name[1:]): value for name, value in more.items()}
    return tiff([({tag: value for tag, value in tags.items() if value is not None}, [GREY.tobytes()])])


def sixteen(**more: int) -> bytes:
    """An uncompressed grey TIFF of 16 bits with more tags."""
    return tiff([(tiff_tags(samples(16), 16, 1, **more), [samples(16).astype("<u2").tobytes()])])


REFUSED = {
    "jpeg: bytes before its end": (BASELINE[:-2] + bytes(16) + BASELINE[-2:], "damaged", "extraneous bytes"),
    "jpeg: half of its scan, then its end": (BASELINE[: len(BASELINE) * 3 // 4] + b"\xff\xd9", "damaged", "premature"),
    "jpeg: a restart marker lost": (re.sub(rb"\xff\xd1", b"", RESTARTS, count=1), "damaged", "extraneous bytes"),
    "jpeg: a restart interval lost": (re.sub(rb"\xff\xd0.*?(?=\xff\xd1)", b"", RESTARTS, count=1, flags=re.DOTALL),
                                      "damaged", "instead of RST"),
    "jpeg: its last scan lost": (PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")] + b"\xff\xd9", "damaged",
                                 "lacks scans"),
    "jpeg: no quantization": (without_segments(BASELINE, 0xDB), "damaged", "Quantization table"),
    "jpeg: arithmetic coding": (with_frame(BASELINE, 0xC0, 0xC9), "unsupported", "arithmetic"),
    "jpeg: hierarchical": (with_frame(BASELINE, 0xC0, 0xC5), "unsupported", "hierarchical"),
    "jpeg: lossless": (with_frame(BASELINE, 0xC0, 0xC3), "unsupported", "lossless"),
    "jpeg: height after the pixels": (with_frame(BASELINE, 0xC0, 0xC0, at5=b"\0\0"), "unsupported", "DNL"),
    "jpeg: no width": (with_frame(BASELINE, 0xC0, 0xC0, at7=b"\0\0"), "damaged", "0x24 px"),
    "jpeg: one number for two components": (with_frame(BASELINE, 0xC0, 0xC0, at10=b"\2"), "damaged", "one number"),
    "jpeg: a scan of another component": (with_frame(BASELINE, 0xC0, 0xC0, at10=b"\7"), "damaged", "component 1"),
    "jpeg: two frames": (BASELINE[: BASELINE.index(b"\xff\xda")] + BASELINE[2:], "damaged", "two frame headers"),
    "png: wrong sum of zlib": (png_of(b"", HEADER, coded=CODED[:-4] + b"abcd"), "damaged", "incorrect data check"),
    "png: no sum of zlib": (png_of(b"", HEADER, coded=CODED[:-4]), "damaged", "Not enough image data"),
    "png: fewer rows than its height": (png_of(ROWS[:-40], HEADER), "damaged", "Not enough image data"),
    "png: a filter that does not exist": (png_of(b"\7" + ROWS[1:], HEADER), "damaged", "filter"),
    "png: no pixels": (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))
                       + chunk(b"IEND", b""), "damaged", "without pixels"),
    "png: colour type 5": (png_of(ROWS, (*HEADER[:3], 5)), "damaged", "colour type 5"),
    "png: 3 bits": (png_of(ROWS, (*HEADER[:2], 3, 0)), "damaged", "3 bits"),
    "png: of Apple": (b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", b"\0\0\0\2") + png(GREY, 8, 0)[8:], "unsupported", "CgBI"),
    "png: an animation beside its image": (png(GREY, 8, 0, before=chunk(b"acTL", struct.pack(">II", 1, 0))),
                                           "unsupported", "2 images"),
    "bmp: no palette": (bmp(bytes(8), (4, 2, 8, 0)), "damaged", "without a palette"),
    "bmp: a colour beyond the palette": (bmp(b"\5\0\0\0", (1, 1, 8, 0), tables=bytes(8)), "damaged", "colour 5"),
    "bmp: masks that overlap": (bmp(bytes(4), (1, 1, 32, 3), tables=struct.pack("<3I", 255, 255, 255)), "damaged",
                                "bit masks"),
    "bmp: a mask with a gap": (bmp(bytes(4), (1, 1, 32, 3), tables=struct.pack("<3I", 5, 0xF00, 0xF0000)), "damaged",
                               "bit masks"),
    "bmp: ten bits a channel": (bmp(bytes(4), (1, 1, 32, 3), tables=struct.pack("<3I", 1023, 1023 << 10, 1023 << 20)),
                                "unsupported", "10 bits a channel"),
    "tiff: a strip without bytes": (page(t279=0), "damaged", "lacks strip 1 of 1"),
    "tiff: a strip that is too short": (page(t279=GREY.size - 1), "damaged", "bytes of pixels, not 840"),
    "tiff: a strip that is too long": (page(t257=20, t278=20), "damaged", "bytes of pixels, not 700"),
    "tiff: fewer strips than rows need": (page(t278=5), "damaged", "has 1 strips, not 5"),
    "tiff: a strip beyond the file": (page(t273=60_000), "truncated", "strip 1 of 1"),
    "tiff: no photometric": (page(t262=None), "damaged", "PhotometricInterpretation"),
    "tiff: no strips": (tiff([({256: 9, 257: 9, 262: 1, 273: b"", 279: b""}, [])]), "damaged", "offsets"),
    "tiff: one page that is a reduced copy": (page(t254=1), "unsupported", "reduced"),
    "tiff: a mask": (page(t254=4), "unsupported", "transparency mask"),
    "tiff: a volume": (page(t32997=7), "unsupported", "7 images"),
    "tiff: a stated maximum that is exceeded": (sixteen(t281=4095), "damaged", "4095"),
    "tiff: floating-point predictor": (page(t259=5, t317=3), "unsupported", "predictor 3"),
    "tiff: a palette of another size": (page(t262=3, t320=[1] * 30), "damaged", "30 values"),
    "tiff: a stack with the tags of its first": (tifffile_of(np.stack([GREY[:, :, 0]] * 4), photometric="minisblack",
                                                             truncate=True), "unsupported", "4 images"),
    "tiff: 12 bits in words, and one of 16": (tiff([(tiff_tags(GREY, 12, 1), [b"\xff\xff" * GREY.size])]), "damaged",
                                              "sample of 65535"),
    "tiff: a sample of unknown meaning": (tifffile_of(np.dstack([smooth(), GREY]), photometric="rgb",
                                                      extrasamples=["unspecified"]), "unsupported", "unknown meaning"),
    "webp: another canvas": (TRANSPARENT_WEBP.replace(b"\x22\0\0\x17\0\0", b"\x23\0\0\x17\0\0", 1), "damaged", "36x24"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused_with_what_is_wrong(name: str) -> None:
    data, reason, text = REFUSED[name]
    found, message = refusal(data)
    assert text in message
    assert found == reason


HARMLESS = {
    "jpeg: bytes after its end": (BASELINE + b"\0padding", BASELINE),
    "jpeg: no Huffman tables, as in the frames of Motion JPEG": (without_segments(BASELINE, 0xC4), BASELINE),
    "jpeg: no JFIF": (without_segments(BASELINE, 0xE0), BASELINE),
    "jpeg: fill bytes before its end": (BASELINE[:-2] + b"\xff\xff" + BASELINE[-2:], BASELINE),
    "png: bytes after its end": (png(GREY, 8, 0) + b"more", png(GREY, 8, 0)),
    "png: bytes after its coded pixels": (png_of(b"", HEADER, coded=CODED + b"more"), png(GREY, 8, 0)),
    "png: gamma": (png(GREY, 8, 0, before=chunk(b"gAMA", struct.pack(">I", 100_000))), png(GREY, 8, 0)),
    "png: an animation of the image alone": (png(GREY, 8, 0, before=chunk(b"acTL", struct.pack(">II", 1, 0))
                                                 + chunk(b"fcTL", bytes(26))), png(GREY, 8, 0)),
    "png: a transparent colour that no pixel has": (png(GREY // 2, 8, 0, before=chunk(b"tRNS", b"\0\xff")),
                                                    png(GREY // 2, 8, 0)),
    "tiff: bits from the lowest": (tiff([(tiff_tags(GREY, 8, 1, t266=2),
                                          [bytes(int(f"{byte:08b}"[::-1], 2) for byte in GREY.tobytes())])]), page()),
    "tiff: padding of an uncompressed strip": (tiff([(tiff_tags(GREY, 8, 1), [GREY.tobytes() + bytes(8)])]), page()),
    "tiff: a sample of unknown meaning that holds nothing": (
        tifffile_of(np.dstack([smooth(), 0 * GREY]), photometric="rgb", extrasamples=["unspecified"]),
        tifffile_of(smooth(), photometric="rgb"),
    ),
    "tiff: a maximum that is no depth": (sixteen(t281=4000),
                                         sixteen()),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_it_changes_no_pixel(name: str) -> None:
    data, plain = HARMLESS[name]
    np.testing.assert_array_equal(decode_image(data), decode_image(plain))


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_a_dark_image_whose_samples_are_scaled_stays_dark(bits: int) -> None:
    """All its samples are below 2**bits, as unscaled ones would be; their low bits tell them apart."""
    dark = scaled(samples(4).astype(np.uint16), bits)
    data = png(dark, 16, 0, before=chunk(b"sBIT", bytes([bits])))
    np.testing.assert_array_equal(decode_image(data), dark)


def test_samples_that_are_neither_scaled_nor_below_their_depth_are_left_alone() -> None:
    stored = samples(16)
    data = png(stored, 16, 0, before=chunk(b"sBIT", b"\x0c"))
    np.testing.assert_array_equal(decode_image(data), stored)


def test_a_page_that_follows_itself_is_damaged() -> None:
    data = bytearray(page())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    reason, message = refusal(bytes(data))
    assert (reason, message[:53]) == ("damaged", "a TIFF whose page 2 is one of the pages before it; th")


def test_forged_tags_cost_little() -> None:
    """Pages and tags may name the same bytes again and again; reading them all would take minutes."""
    many = tiff([({256: 9, 257: 9, 258: [8] * 60_000, 330: [8] * 60_000}, [bytes(81)])] * 20)
    assert "2,000,000 values" in refusal(many)[1]
    below = page(t330=[8] * 65)
    assert "65 pages below others" in refusal(below)[1]
    crowded = page(**{f"t{40_000 + number}": 1 for number in range(4096)})
    assert "tags in a page" in refusal(crowded)[1]


def test_a_compressed_segment_of_another_size_is_damaged() -> None:
    for more in (-35, 35):
        pixels = (GREY.tobytes() + bytes(35))[: GREY.size + more]
        data = tiff([(tiff_tags(GREY, 8, 1, t259=8), [zlib.compress(pixels)])])
        assert refusal(data)[0] == "damaged"


def test_a_damaged_jpeg_within_a_tiff_is_damaged() -> None:
    data = bytearray(tifffile_of(smooth(), photometric="rgb", compression="jpeg"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (start,), (size,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    data[start + size * 3 // 4 : start + size - 2] = bytes(size - 2 - size * 3 // 4)
    reason, message = refusal(bytes(data))
    assert (reason, message[:23]) == ("damaged", "strip 1 of 1 of a TIFF:")


@pytest.mark.parametrize("photometric", [2, 6])
def test_the_colours_of_a_jpeg_within_a_tiff_are_those_of_the_page(photometric: int) -> None:
    """The JPEG has a JFIF marker, which means YCbCr; a page of RGB holds RGB all the same."""
    picture = Pillow.fromarray(smooth(), "RGB" if photometric == 6 else "YCbCr")  # YCbCr is stored as it is
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0)
    strip = buffer.getvalue()
    image = decode_image(tiff([(tiff_tags(smooth(), 8, photometric, t259=7), [strip])]))
    assert np.abs(image.astype(int) - smooth()).max() <= 12


def test_alpha_of_a_mask_is_returned_with_its_colour() -> None:
    alpha = samples(8)[:, :, 0]
    for data in (png(np.dstack([smooth(), alpha]), 8, 6), bmp(
        np.dstack([smooth()[::-1, :, ::-1], alpha[::-1]]).tobytes(), (35, 24, 32, 3), header_bytes=56,
        tables=struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    )):  # fmt: skip
        colour, found = decode_with_alpha(data)
        np.testing.assert_array_equal(colour, smooth())
        np.testing.assert_array_equal(found, alpha)
    assert decode_with_alpha(BASELINE)[1] is None


def test_a_pyramid_is_read_at_full_size_and_said() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(GREY[:, :, 0], photometric="minisblack", subifds=2)
        for step in (2, 4):
            writer.write(np.ascontiguousarray(GREY[::step, ::step, 0]), photometric="minisblack", subfiletype=1)
    np.testing.assert_array_equal(decode_image(buffer.getvalue()), GREY)
    info = describe_image(buffer.getvalue())
    assert (info.pages, info.note) == (3, "page 1 of 3 was used: the others are reduced copies")


def test_a_reduced_copy_that_is_not_smaller_counts_as_an_image() -> None:
    tags = tiff_tags(GREY, 8, 1)
    data = tiff([(tags, [GREY.tobytes()]), (tags | {254: 1}, [GREY.tobytes()])])
    assert "2 images" in refusal(data)[1]
