"""Refusals of image files, by reason."""

from typing import Final

NOT_AN_IMAGE: Final = "not-an-image"
TRUNCATED: Final = "truncated"
TOO_LARGE: Final = "too-large"
UNSUPPORTED: Final = "unsupported"
DAMAGED: Final = "damaged"

ACCEPTED: Final = "send 8 or 16 bit, grey or colour, as JPEG, PNG, BMP, TIFF or WebP"


class ImageError(ValueError):
    """Bytes that can't be decoded as an image.

    ``reason`` is a code; the message has the details.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def truncated(data: bytes, where: str) -> ImageError:
    """Build the refusal of a file that ends too early."""
    return ImageError(TRUNCATED, f"the file ends after {len(data)} bytes, within {where}; send the complete file")


def damaged(what: str) -> ImageError:
    """Build the refusal of a file that contradicts itself."""
    return ImageError(DAMAGED, f"{what}; the file is damaged, send the original")


def unsupported(what: str) -> ImageError:
    """Build the refusal of a file of another kind."""
    return ImageError(UNSUPPORTED, f"{what} is not supported; {ACCEPTED}")


def several(what: str) -> ImageError:
    """Build the refusal of a file of several images."""
    return ImageError(UNSUPPORTED, f"{what} is not supported; send each image as a file of its own")
