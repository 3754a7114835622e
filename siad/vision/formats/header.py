"""Header of one image, whatever its format."""

from dataclasses import dataclass, replace
from typing import Self

from siad.vision.formats.errors import damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Header of one image, before orientation."""

    format: str  # jpeg, png, bmp, tiff, webp
    width_px: int
    height_px: int
    channels: int  # 1 or 3, alpha not counted
    bits: int  # of one decoded sample: 8 or 16
    orientation: int = 1  # Exif: 1 upright, ..., 8
    significant_bits: int = 0  # of one stored sample, where a file of 16 bits declares fewer; 0: it does not
    pages: int = 1  # images in the file
    note: str = ""  # what the sender should know: which of several images was used

    def checked(self) -> Self:
        """Refuse an empty image.

        An unknown orientation is taken as upright, as in image viewers.
        """
        if self.width_px < 1 or self.height_px < 1:
            what = f"a {self.format} of {self.width_px}x{self.height_px} px"
            raise damaged(what)
        return self if 1 <= self.orientation <= 8 else replace(self, orientation=1)
