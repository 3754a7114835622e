"""Files with secrets: readable only by their owner, replaced as a whole."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write ``text`` with mode 0600.

    A reader gets the old or the new content, never a part.
    """
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
