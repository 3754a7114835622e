"""Share of a line's captures that are labelled while a segmenter serves.

Which captures are drawn depends on their ids alone, so every process draws the same ones, and a repeat draws them
again. A capture that is drawn for a share is drawn for every larger one.
"""

import hashlib
from typing import Final

DEFAULT_SHARE: Final = 0.1
SHARE_MIN: Final = 0.001
_SALT: Final = b"labelled "  # other draws by capture id, such as those of splits, are independent of this one
_DRAWS: Final = 2**64


def share_of(setting: float) -> float:
    """Share that a line's setting stands for; 0 is the default."""
    return setting or DEFAULT_SHARE


def require_labelled_share(setting: float) -> None:
    """Raise ValueError for a setting that is neither a share nor 0."""
    if setting and not SHARE_MIN <= setting <= 1:
        msg = f"labelled_share {setting:g} is not {SHARE_MIN:g} to 1, nor 0 for the default of {DEFAULT_SHARE:g}"
        raise ValueError(msg)


def is_drawn(capture_id: str, share: float) -> bool:
    """Whether a capture is in the share that is always labelled."""
    number = int.from_bytes(hashlib.sha256(_SALT + capture_id.encode()).digest()[:8], "big")
    return number < share * _DRAWS
