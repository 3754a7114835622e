"""Parts of object keys, as ``keys.py`` joins and reads them."""

from siad.contracts.place import Place


def checked_part(name: str) -> str:
    """Return one part of a key, if it is one.

    Raises:
        ValueError: it is empty, or would make another key, as a slash does.
    """
    if not name or "/" in name or name in (".", "..") or not name.isprintable():
        msg = f"{name!r} can't be a part of an object's key: it is empty, or has a slash or a control character"
        raise ValueError(msg)
    return name


def kind_of(key: str) -> str:
    """Return the first part of a key, such as ``images``."""
    return key.partition("/")[0]


def prefix_of(*parts: str) -> str:
    """Join the parts that are not empty, with a slash after each."""
    return "".join(f"{checked_part(part)}/" for part in parts if part)


def last_part(key: str, suffix: str) -> str:
    """Return what follows the last slash, without the suffix."""
    return key.rsplit("/", 1)[-1].removesuffix(suffix)


def place_in(key: str) -> Place:
    """Read line and product of a key of the form KIND/LINE/PRODUCT/NAME."""
    _, line, product, _ = key.split("/")
    return Place(line, product)
