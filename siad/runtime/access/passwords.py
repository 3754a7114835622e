"""Passwords, stored as argon2id hashes."""

import functools
import os
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

PASSWORD_MIN: Final = 12  # characters; NIST SP 800-63B asks for 15 where a password is the only factor, and 8 otherwise
PASSWORD_MAX: Final = 256
DISTINCT_MIN: Final = 5  # different characters
SALT_BYTES: Final = 16
MEMORY_KIB: Final = 64 * 1024  # the second choice of RFC 9106, section 4
_COMMON: Final = ("password", "passwort", "123456", "qwertz", "qwerty", "letmein", "welcome", "siad", "admin")


def require_strong(name: str, password: str) -> None:
    """Refuse a password that is easily guessed.

    Raises:
        ValueError: says what is wrong with it, and never the password.
    """
    text, reason = password.casefold(), ""
    rest = text.replace(name.casefold(), "")
    for word in _COMMON:
        rest = rest.replace(word, "")
    if len(password) < PASSWORD_MIN:
        reason = f"it has {len(password)} characters, and at least {PASSWORD_MIN} are needed"
    elif len(password) > PASSWORD_MAX:
        reason = f"it has {len(password)} characters, and at most {PASSWORD_MAX} are allowed"
    elif len(set(text)) < DISTINCT_MIN:
        reason = f"it has {len(set(text))} different characters, and at least {DISTINCT_MIN} are needed"
    elif len(set(rest)) < DISTINCT_MIN or len(rest) < PASSWORD_MIN // 2:
        reason = "without the name and common words too little is left of it"
    if reason:
        msg = f"the password of {name!r} is too weak: {reason}; nothing was changed. Four random words are good"
        raise ValueError(msg)


def hash_password(password: str) -> str:
    """Hash a password as a PHC string.

    It takes up to 0.3 s and 64 MiB.
    """
    salt = os.urandom(SALT_BYTES)
    return Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=MEMORY_KIB).derive_phc_encoded(
        password.encode()
    )


def is_password(password: str, stored: str) -> bool:
    """Whether a password fits a stored hash.

    It takes as long where there is none.

    Args:
        password: as it was typed.
        stored: of ``hash_password``; empty: there is none.
    """
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored or _absent())
    except InvalidKey:
        return False
    return bool(stored)


@functools.cache
def _absent() -> str:
    """Hash that stands in for the missing one of an unknown name."""
    return hash_password("of no account")
