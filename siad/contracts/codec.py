"""Event codec: dataclasses to protobuf and back.

No other module imports generated code. A dataclass and its message have the same fields, which
``tests/architecture/test_codec.py`` checks.
"""

from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from types import GenericAlias
from typing import Any, TypeVar, get_type_hints

from google.protobuf.message import DecodeError, Message

from siad.contracts import commands, corrections, events, marked_objects, trials
from siad.contracts.errors import PoisonError
from siad.v1 import events_pb2

Event = (
    events.LineChanged
    | events.ImageStored
    | events.PseudoMaskCreated
    | events.TeacherReleased
    | events.SegmenterReleased
    | events.VerdictGiven
    | corrections.CaptureCorrected
    | corrections.ThresholdSet
    | commands.CommandGiven
    | trials.TrialChanged
    | trials.ShadowJudged
    | events.DeadLetter
)
E = TypeVar("E")

MESSAGES: dict[type[Any], type[Message]] = {
    events.Region: events_pb2.Region,
    events.LineChanged: events_pb2.LineChanged,
    events.ImageStored: events_pb2.ImageStored,
    events.PseudoMaskCreated: events_pb2.PseudoMaskCreated,
    events.TeacherReleased: events_pb2.TeacherReleased,
    events.SegmenterReleased: events_pb2.SegmenterReleased,
    events.VerdictGiven: events_pb2.VerdictGiven,
    marked_objects.MarkedObject: events_pb2.MarkedObject,
    corrections.CaptureCorrected: events_pb2.CaptureCorrected,
    corrections.ThresholdSet: events_pb2.ThresholdSet,
    commands.CommandGiven: events_pb2.CommandGiven,
    trials.TrialChanged: events_pb2.TrialChanged,
    trials.ShadowJudged: events_pb2.ShadowJudged,
    events.DeadLetter: events_pb2.DeadLetter,
}
TYPES = {kind: get_type_hints(kind) for kind in MESSAGES}  # resolved once: every record is decoded


def encode(event: Event) -> bytes:
    """Write one event; equal events give equal bytes."""
    return _to_message(event).SerializeToString(deterministic=True)


def decode(kind: type[E], payload: bytes | None) -> E:
    """Read one event.

    Raises:
        PoisonError: the bytes are not a valid ``kind``, or there are none (a tombstone).
    """
    if payload is None:
        reason = f"a tombstone where a {kind.__name__} was expected"
        raise PoisonError(reason)
    message = MESSAGES[kind]()
    try:
        message.ParseFromString(payload)
        return _from_message(kind, message)
    except (DecodeError, ValueError, OverflowError) as error:
        reason = f"{len(payload)} bytes are not a {kind.__name__}: {error}"
        raise PoisonError(reason) from error


def read_loosely(kind: type[Any], payload: bytes | None) -> dict[str, Any]:
    """Read, by field, what is readable of an invalid ``kind``."""
    message, found = MESSAGES[kind](), {}
    with suppress(DecodeError):
        message.ParseFromString(payload or b"")
        for field in fields(kind):
            with suppress(ValueError, OverflowError):
                found[field.name] = _read(message, field.name, TYPES[kind][field.name])
    return found


def _to_message(event: Any) -> Message:
    message = MESSAGES[type(event)]()
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, datetime):
            getattr(message, field.name).FromDatetime(value.astimezone(UTC))
        elif isinstance(value, StrEnum):
            setattr(message, field.name, _number(message, field.name, value))
        elif isinstance(value, tuple):
            items = [_to_message(item) if type(item) in MESSAGES else item for item in value]
            getattr(message, field.name).extend(items)
        else:
            setattr(message, field.name, value)
    return message


def _from_message(kind: type[E], message: Message) -> E:
    hints = TYPES[kind]
    return kind(**{field.name: _read(message, field.name, hints[field.name]) for field in fields(kind)})  # type: ignore[arg-type]


def _read(message: Message, name: str, hint: Any) -> Any:
    value = getattr(message, name)
    if hint is datetime:
        if not message.HasField(name):
            msg = f"{name} is missing"
            raise ValueError(msg)
        return value.ToDatetime(tzinfo=UTC)
    if isinstance(hint, type) and not isinstance(hint, GenericAlias) and issubclass(hint, StrEnum):
        return _read_enum(message, name, hint, value)
    if getattr(hint, "__origin__", None) is tuple:
        item = hint.__args__[0]
        return tuple(_from_message(item, part) if item in MESSAGES else part for part in value)
    return value


def _read_enum(message: Message, name: str, hint: type[StrEnum], number: int) -> StrEnum:
    """Read an enum; a value of a newer writer becomes UNSPECIFIED."""
    known = _enum_of(message, name).values_by_number.get(number)
    if known is None:
        return hint("unspecified")
    return hint(known.name.removeprefix(_prefix(message, name)).lower())


def _enum_of(message: Message, name: str) -> Any:
    enum = message.DESCRIPTOR.fields_by_name[name].enum_type
    assert enum is not None, f"{name} is not an enum"
    return enum


def _prefix(message: Message, name: str) -> str:
    """Prefix of an enum's values in protobuf, such as ``WEIGHTS_KIND_``."""
    return str(_enum_of(message, name).values_by_number[0].name).removesuffix("UNSPECIFIED")


def _number(message: Message, name: str, value: StrEnum) -> int:
    return int(_enum_of(message, name).values_by_name[_prefix(message, name) + value.name].number)
