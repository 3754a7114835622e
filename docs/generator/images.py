"""Chapter of image files.

Every kind is decoded here, so that the table is what the decoder does.
"""

from itertools import groupby
from typing import Final

from docs.generator.table import table
from siad.vision.images import PIXELS_MAX, ImageError, decode_image, describe_image
from tests.image_files import ImageFile, image_files

_RULES: Final = f"""\
Each kind below is decoded when this page is made. A file gives right pixels or is refused with what it holds; nothing
is stored of a refused one. Bits are those of one stored sample (of a pixel for BMP), "12 in 16" those that the samples
use. White is 255 or 65535 after decoding: samples of fewer bits are scaled, where the file declares it (PNG chunk
sBIT, TIFF BitsPerSample, or MaxSampleValue of 255 to 32767 that is a power of two less one). Files of 16 bits that
declare nothing are scaled by the depth of their line.

- Orientation (Exif, TIFF) is applied. Gamma and colour profiles are ignored.
- Opaque alpha is dropped; an image with a transparent pixel is refused.
- Of several images the full-size one is used where the others are marked as reduced copies, or come after the first in
  a JPEG; the answer says so in `note`. Otherwise the file is refused.
- Damage is refused: a wrong checksum, a warning of libjpeg, a segment with too few or too many bytes. Bytes after the
  end of a JPEG, PNG or WebP are ignored, and so are rows beyond the height that a PNG states.
- A changed bit that leaves a valid file can't be seen where the format has no checksum: JPEG, BMP, WebP, and TIFF
  except its deflate segments.
- At most {PIXELS_MAX:,} pixels, before anything is decoded."""


def images_chapter() -> str:
    """Table of formats, depths and what is done with each."""
    rows = []
    for (name, holds, outcome), files in groupby(_rows(), key=lambda row: row[:3]):
        rows.append([name, holds, _spans([file.bits for *_, file in files]), outcome])
    return f"{_RULES}\n\n" + table(["Format", "Holds", "Bits", "Decoded"], rows)


def _rows() -> list[tuple[str, str, str, ImageFile]]:
    rows = [(file.format, file.holds, _outcome(file), file) for file in image_files()]
    order = list(dict.fromkeys((name, holds) for name, holds, *_ in rows))
    return sorted(rows, key=lambda row: order.index(row[:2]))


def _outcome(file: ImageFile) -> str:
    try:
        image, info = decode_image(file.data), describe_image(file.data)
    except ImageError as error:
        return f"refused: {str(error).partition(' is not supported')[0].partition(', not an image')[0]}"
    note = f"; note: {info.note}" if info.note else ""
    return f"{info.bits} bits, {'grey' if image.shape[2] == 1 else 'RGB'}{note}"


def _spans(bits: list[str]) -> str:
    """Join depths, runs of them as 1-8."""
    numbers = [int(each) if each.isdigit() else None for each in bits]
    if None in numbers or len(numbers) < 4:
        return ", ".join(bits)
    return f"{bits[0]}-{bits[-1]}" if numbers == list(range(int(bits[0]), int(bits[-1]) + 1)) else ", ".join(bits)
