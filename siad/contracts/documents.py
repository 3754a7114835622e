"""What ingest keeps in the store as JSON, for every stage to read: receipts, normals, settings of lines. Pure.

A receipt and a normal hold the image's event as it was first published; a revision of a line holds its settings. A
field that a newer writer added is ignored, one that an older writer did not know has its default.
"""

import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

from siad.contracts.errors import CorruptError
from siad.contracts.events import ImageStored, LineChanged

E = TypeVar("E", ImageStored, LineChanged)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """One revision of a line: ``lines/<line>/<revision>.json`` and the pointer hold the same bytes."""

    settings: LineChanged  # as they stand; of a line that is gone as they last stood, with the revision of its end
    is_gone: bool = False

    def at(self, revision: int) -> "LineState":
        """The same, under another number."""
        return replace(self, settings=replace(self.settings, revision=revision))


def write_receipt(event: ImageStored) -> bytes:
    """The receipt of a capture, and the word that it is normal."""
    return _write(asdict(event))


def read_receipt(data: bytes) -> ImageStored:
    """Read a receipt or a normal.

    Raises:
        CorruptError: the bytes are none.
    """
    return _read(ImageStored, data)


def write_line(state: LineState) -> bytes:
    """One revision of a line."""
    return _write(asdict(state.settings) | {"is_gone": state.is_gone})


def read_line(data: bytes) -> LineState:
    """Read one revision of a line, or its pointer.

    Raises:
        CorruptError: the bytes are neither.
    """
    settings = _read(LineChanged, data)
    return LineState(settings=settings, is_gone=bool(json.loads(data).get("is_gone", False)))


def _write(raw: dict[str, Any]) -> bytes:
    return json.dumps(raw, indent=1, sort_keys=True, default=_plain).encode()


def _plain(value: Any) -> str:
    assert isinstance(value, datetime), f"{value!r} has no form in JSON"
    return value.astimezone(UTC).isoformat()


def _read(kind: type[E], data: bytes) -> E:
    try:
        raw = json.loads(data)
        hints = get_type_hints(kind)
        given = [field for field in fields(kind) if field.name in raw or field.default is MISSING]
        return kind(**{field.name: _value(raw[field.name], hints[field.name]) for field in given})
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{len(data)} bytes are not a {kind.__name__}: {error!r}"
        raise CorruptError(msg) from error


def _value(value: Any, hint: Any) -> Any:
    if hint is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            msg = f"{value!r} has no zone"
            raise ValueError(msg)
        return moment
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if hint is float:
        return float(value)
    if hint == tuple[float, ...]:
        return tuple(float(one) for one in value)
    wanted = hint if isinstance(hint, type) else str  # CaptureId and ImageId are strings
    if not isinstance(value, wanted):
        msg = f"{value!r} is no {wanted.__name__}"
        raise TypeError(msg)
    return value
