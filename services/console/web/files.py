"""Files of the built page, from ``web/dist``."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILT: Final = Path(__file__).parents[3] / "web" / "dist"  # in a checkout; written by make web
INDEX: Final = "index.html"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)  # no request leaves the host, and no script comes from elsewhere
NOT_BUILT: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>SIAD console</title>
<h1>The console's page is not built</h1>
<p>Run <code>make web</code> in the checkout of SIAD and load this page again; nothing needs a restart.</p></html>
"""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, ready to send."""

    data: bytes
    media_type: str
    etag: str


class PageFiles:
    """The built page, read anew so that a build needs no restart."""

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder

    @property
    def is_built(self) -> bool:
        """Whether there is a page."""
        return (self._folder / INDEX).is_file()

    def read(self, name: str) -> PageFile | None:
        """Read a file below the folder; None where there is none."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()) or not path.is_file():
            return None
        data = path.read_bytes()
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return PageFile(data, media_type, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
