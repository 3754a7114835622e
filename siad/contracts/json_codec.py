"""Typed JSON codec: dataclasses and named tuples to canonical bytes and back.

Writing goes by the value, reading by the type hints. Equal values give equal bytes: keys are sorted, moments are in
UTC. A field that a newer writer added is ignored; a field that an older writer did not know takes its default; any
other difference from the hints is a ``CorruptError`` that names the type and the field. An integer in a float field
stays an integer, so that writing a value that was read gives the same bytes: weights are named by the digest of theirs.

===============================================  =================================
hint                                             JSON
===============================================  =================================
str, int, float, bool, None, X | None, NewType   itself
datetime (with a zone), date                     ISO 8601, UTC
StrEnum, Literal                                 its value
tuple[T, ...], tuple[A, B], Sequence[T]          array
frozenset[T], Collection[T]                      array, sorted where it is a set
Mapping[str, T], dict[str, T]                    object
dataclass, NamedTuple                            object with the names of the fields
===============================================  =================================
"""

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, Literal, NewType, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from siad.contracts.errors import CorruptError

T = TypeVar("T")
Reader = Callable[[Any], Any]

# Metadata of a dataclass field: `field(default=(), metadata=OMIT_IF_DEFAULT)`.
OMIT_IF_DEFAULT: Final = {"json": "omit-if-default"}  # is not written while it has its default
SKIP: Final = {"json": "skip"}  # is neither written nor read
FLATTEN: Final = {"json": "flatten"}  # a dataclass whose fields are written beside those of its owner


class JsonStyle(Enum):
    """White space of a document; part of what digests are taken of."""

    COMPACT = "compact"  # {"a":1,"b":2}
    ORDERED = "ordered"  # compact, and keys in the order of fields and mappings, where that order has a meaning
    SPACED = "spaced"  # {"a": 1, "b": 2}
    INDENTED = "indented"  # one field a line, for people


class JsonRecord:
    """Base of dataclasses that are stored as one JSON document each."""

    __slots__ = ()
    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.COMPACT

    def to_json(self) -> bytes:
        """Write canonical bytes."""
        return write_json(self, self.JSON_STYLE)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a record back.

        Raises:
            CorruptError: the bytes are no such record.
        """
        return read_json(cls, data)


def write_json(value: Any, style: JsonStyle = JsonStyle.COMPACT) -> bytes:
    """Write a value as canonical JSON.

    Raises:
        TypeError: a value has no form in JSON.
        ValueError: a number is not finite, or a moment has no zone.
    """
    plain = to_plain(value)
    separators = (",", ":") if style in (JsonStyle.COMPACT, JsonStyle.ORDERED) else None
    indent, is_sorted = (1 if style is JsonStyle.INDENTED else None), style is not JsonStyle.ORDERED
    return json.dumps(plain, sort_keys=is_sorted, allow_nan=False, indent=indent, separators=separators).encode()


def read_json(kind: type[T], data: bytes) -> T:
    """Read a value of a type back.

    Raises:
        CorruptError: the bytes are not a ``kind``; names the field.
    """
    try:
        value: T = _read_record(kind, json.loads(data))
    except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
        msg = f"{len(data)} bytes are not a {kind.__name__}: {error}"
        raise CorruptError(msg) from error
    return value


def to_plain(value: Any) -> Any:
    """Convert a value to what ``json.dumps`` takes."""
    plain = value
    if isinstance(value, Enum):
        plain = value.value
    elif isinstance(value, datetime):
        plain = _with_zone(value).astimezone(UTC).isoformat()
    elif isinstance(value, date):
        plain = value.isoformat()
    elif is_dataclass(value) and not isinstance(value, type):
        plain = _plain_record(value)
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        plain = {name: to_plain(item) for name, item in value._asdict().items()}
    elif isinstance(value, Mapping):
        plain = {_require(str, name): to_plain(item) for name, item in value.items()}
    elif isinstance(value, (set, frozenset)):
        plain = sorted(map(to_plain, value))
    elif isinstance(value, (list, tuple)):
        plain = [to_plain(item) for item in value]
    elif value is not None and not isinstance(value, (str, int, float, bool)):
        msg = f"a {type(value).__name__} has no form in JSON"
        raise TypeError(msg)
    return plain


def _plain_record(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in fields(value):
        item, rule = getattr(value, field.name), field.metadata.get("json")
        if rule == "flatten":
            plain |= to_plain(item)
        elif rule != "skip" and (rule != "omit-if-default" or item != field.default):
            plain[field.name] = to_plain(item)
    return plain


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    read: Reader
    is_required: bool
    is_flat: bool


class _FieldError(ValueError):
    """A field that can't be read; the text begins with its path."""


@functools.cache
def _fields_of(kind: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        return tuple(
            _Field(
                name=field.name,
                read=_reader(hints[field.name]),
                is_required=field.default is MISSING and field.default_factory is MISSING,
                is_flat=field.metadata.get("json") == "flatten",
            )
            for field in fields(kind)
            if field.init and field.metadata.get("json") != "skip"
        )
    defaults: Mapping[str, Any] = getattr(kind, "_field_defaults", {})
    return tuple(_Field(name, _reader(hints[name]), name not in defaults, is_flat=False) for name in hints)


def _read_record(kind: Any, raw: Any) -> Any:
    _require(dict, raw)
    values = {}
    for field in _fields_of(kind):
        if field.is_flat:
            values[field.name] = field.read(raw)
        elif field.name in raw:
            values[field.name] = _read_item(field.name, field.read, raw[field.name])
        elif field.is_required:
            msg = f"{field.name} is missing"
            raise _FieldError(msg)
    return kind(**values)


def _read_item(name: str, read: Reader, raw: Any) -> Any:
    try:
        return read(raw)
    except _FieldError as error:
        msg = f"{name}.{error}"
        raise _FieldError(msg) from error
    except (TypeError, ValueError) as error:
        msg = f"{name}: {error}"
        raise _FieldError(msg) from error


@functools.cache
def _reader(hint: Any) -> Reader:
    """Choose the function that reads JSON of one type hint.

    Raises:
        NotImplementedError: the hint is not in the table at the top; a bug of ours.
    """
    if isinstance(hint, NewType):
        return _reader(hint.__supertype__)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is not None:
        return _reader_of_generic(origin, arguments)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    if isinstance(hint, type) and (is_dataclass(hint) or hasattr(hint, "_fields")):
        return functools.partial(_read_record, hint)
    msg = f"{hint!r} has no form in JSON"
    raise NotImplementedError(msg)


def _reader_of_generic(origin: Any, arguments: tuple[Any, ...]) -> Reader:
    if origin in (Union, UnionType):
        others = [argument for argument in arguments if argument is not NoneType]
        assert len(others) == 1 < len(arguments), f"{arguments} are not one type and None"
        return functools.partial(_read_optional, _reader(others[0]))
    if origin is Literal:
        return functools.partial(_read_choice, arguments)
    if origin is tuple and arguments[1:] != (...,):
        return functools.partial(_read_row, tuple(map(_reader, arguments)))
    if origin in (tuple, Sequence):
        return functools.partial(_read_items, tuple, _reader(arguments[0]))
    if origin in (frozenset, Collection):
        return functools.partial(_read_items, frozenset, _reader(arguments[0]))
    if origin in (Mapping, dict):
        return functools.partial(_read_mapping, _reader(arguments[1]))
    msg = f"{origin!r} has no form in JSON"
    raise NotImplementedError(msg)


def _read_optional(read: Reader, raw: Any) -> Any:
    return None if raw is None else read(raw)


def _read_choice(choices: tuple[Any, ...], raw: Any) -> Any:
    if raw not in choices:
        msg = f"{raw!r:.80} is none of {choices}"
        raise ValueError(msg)
    return raw


def _read_row(readers: tuple[Reader, ...], raw: Any) -> tuple[Any, ...]:
    _require(list, raw)
    if len(raw) != len(readers):
        msg = f"{len(raw)} items, {len(readers)} expected"
        raise ValueError(msg)
    return tuple(read(item) for read, item in zip(readers, raw, strict=True))


def _read_items(make: Callable[[Any], Collection[Any]], read: Reader, raw: Any) -> Collection[Any]:
    return make(read(item) for item in _require(list, raw))


def _read_mapping(read: Reader, raw: Any) -> dict[str, Any]:
    return {name: _read_item(name, read, item) for name, item in _require(dict, raw).items()}


def _read_float(raw: Any) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        msg = f"{raw!r} is not a number"
        raise TypeError(msg)
    return raw


def _read_int(raw: Any) -> Any:
    if isinstance(raw, bool):
        msg = f"{raw!r} is not an int"
        raise TypeError(msg)
    return _require(int, raw)


def _read_moment(raw: Any) -> datetime:
    return _with_zone(datetime.fromisoformat(_require(str, raw)))


def _read_day(raw: Any) -> date:
    return date.fromisoformat(_require(str, raw))


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        msg = f"{moment.isoformat()} has no zone"
        raise ValueError(msg)
    return moment


def _require(kind: type[Any], raw: Any) -> Any:
    if not isinstance(raw, kind):
        msg = f"{raw!r:.80} is not a {kind.__name__}"
        raise TypeError(msg)
    return raw


_SCALARS: Final[Mapping[Any, Reader]] = {
    str: functools.partial(_require, str),
    int: _read_int,
    float: _read_float,
    bool: functools.partial(_require, bool),
    datetime: _read_moment,
    date: _read_day,
}
