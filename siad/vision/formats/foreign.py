"""Refusals of files of other formats, by name."""

import re
from collections.abc import Mapping
from typing import Final

from siad.vision.formats.errors import ACCEPTED, NOT_AN_IMAGE, UNSUPPORTED, ImageError

# first bytes -> name; the longer prefix first where one begins as another does
_IMAGES: Final[Mapping[bytes, str]] = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"II*\0\x10\0\0\0CR": "camera raw (Canon CR2)",
    b"FUJIFILMCCD-RAW": "camera raw (Fujifilm RAF)",
    b"IIRO": "camera raw (Olympus ORF)",
    b"IIRS": "camera raw (Olympus ORF)",
    b"IIU\0": "camera raw (Panasonic RW2)",
    b"8BPS": "Photoshop PSD",
    b"SIMPLE  =": "FITS",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"qoif": "QOI",
    b"DDS ": "a DDS texture",
    b"\x8aMNG\r\n\x1a\n": "MNG",
    b"\x8bJNG\r\n\x1a\n": "JNG",
    b"\x00\x00\x01\x00": "a Windows icon",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile",
}
_OTHERS: Final[Mapping[bytes, str]] = {
    b"%PDF-": "a PDF",
    b"%!PS": "a PostScript document",
    b"PK\x03\x04": "a ZIP archive or an Office document",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
    b"OggS": "an Ogg file",
}
_OS2_BITMAPS: Final = (b"BA", b"CI", b"CP", b"IC", b"PT")
_BRANDS: Final[Mapping[bytes, str]] = {  # of an ISO media file, bytes 8 to 12
    b"avif": "AVIF",
    b"avis": "AVIF sequence",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC sequence",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF sequence",
    b"crx ": "camera raw (Canon CR3)",
    b"jxl ": "JPEG XL",
}
_PORTABLE: Final = re.compile(rb"P[1-7Ff][\s#]")
_MARKUP: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|svg|\?xml|!--)", re.IGNORECASE)
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[\]}0-9tfn-]")
_BASE64: Final = re.compile(rb"\s*(data:image/|/9j/|iVBORw0KGgo|Qk0|SUkqA|TU0AK|UklGR)")


def refuse_foreign(data: bytes) -> ImageError:
    """Build the refusal of bytes of no supported format, by name."""
    if not data:
        return ImageError(NOT_AN_IMAGE, "the file is empty; send the complete file")
    image = _name_of_image(data)
    if image is not None:
        return ImageError(UNSUPPORTED, f"{image} is not supported; {ACCEPTED}")
    other = _name_of_other(data)
    if other is not None:
        return ImageError(NOT_AN_IMAGE, f"the file is {other}, not an image; {ACCEPTED}")
    shown = data[:8].hex(" ")
    return ImageError(NOT_AN_IMAGE, f"{len(data)} bytes that start with {shown} are of no known format; {ACCEPTED}")


def _name_of_image(data: bytes) -> str | None:
    for prefix, name in _IMAGES.items():
        if data.startswith(prefix):
            return name
    signs = {
        _BRANDS.get(data[8:12]): data[4:8] == b"ftyp",
        "a portable bitmap (PBM, PGM, PPM, PAM or PFM)": _PORTABLE.match(data),
        "DICOM": data[128:132] == b"DICM",
        "TGA": data.endswith(b"TRUEVISION-XFILE.\0"),
        "an OS/2 bitmap array, icon or pointer": data[:2] in _OS2_BITMAPS and len(data) > 14,
        "an SVG drawing": _MARKUP.match(data[:1024]) and b"<svg" in data[:4096].lower(),
    }
    return next((name for name, is_found in signs.items() if is_found), None)


def _name_of_other(data: bytes) -> str | None:
    for prefix, name in _OTHERS.items():
        if data.startswith(prefix):
            return name
    if data[4:8] == b"ftyp":
        return "an MP4 or QuickTime video"
    if data.startswith(b"RIFF"):
        return f"a RIFF file of the kind {data[8:12].decode('latin-1')!r}"
    markup = _MARKUP.match(data[:1024])
    if markup is not None:
        return "an XML document" if markup[1].lower() == b"?xml" else "an HTML page"
    if _BASE64.match(data[:64]):
        return "base64 text (send the bytes that it stands for)"
    return "JSON text" if _JSON.match(data[:64]) else None
