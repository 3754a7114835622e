"""Topics, the fields of events, and the keys of the store."""

import inspect
import re
import tempfile
from pathlib import Path
from typing import Any, Final, Self

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from docs.generator.table import code, sentence, table
from siad.contracts import access_keys, keys, trial_keys
from siad.contracts.place import Place
from siad.contracts.topics import (
    COMMAND,
    CORRECTION,
    IMAGE,
    LINE,
    PSEUDO_MASK,
    SEGMENTER,
    SHADOW,
    TEACHER,
    THRESHOLD,
    TOPICS,
    TRIAL,
    VERDICT,
    Topic,
)

ROOT: Final = Path(__file__).resolve().parents[2]
PROTO: Final = "siad/v1/events.proto"
MESSAGE, ENUM, FIELD = 4, 5, 2  # numbers in descriptor.proto, of which the path of a comment is made
PLACE_KEY: Final = "`<line>/<product>`"
CAPTURE_KEY: Final = "`<line>/<shard>`"
HOLDS: Final = {  # topic -> event and key; a new topic is added here
    LINE.name: ("LineChanged", "`<line>`"),
    IMAGE.name: ("ImageStored", CAPTURE_KEY),
    PSEUDO_MASK.name: ("PseudoMaskCreated", CAPTURE_KEY),
    TEACHER.name: ("TeacherReleased", PLACE_KEY),
    SEGMENTER.name: ("SegmenterReleased", PLACE_KEY),
    VERDICT.name: ("VerdictGiven", CAPTURE_KEY),
    CORRECTION.name: ("CaptureCorrected", CAPTURE_KEY),
    THRESHOLD.name: ("ThresholdSet", "`<line>/<product>/<weights>`"),
    COMMAND.name: ("CommandGiven", PLACE_KEY),
    TRIAL.name: ("TrialChanged", PLACE_KEY),
    SHADOW.name: ("ShadowJudged", PLACE_KEY),
}
HOLDS_OF_KIND: Final = {"dead-letter": ("DeadLetter", "key of the first record")}
RETRY: Final = ("the event of the first topic, as it was", "key of the first record")


def topics_chapter() -> str:
    """Every topic with its two ends."""
    rows = [
        (code(topic.name), topic.kind, *_holds(topic), topic.writer, ", ".join(topic.readers), ", ".join(topic.viewers))
        for topic in TOPICS
    ]
    head = (
        "Work topics are divided among the members of a consumer group, in order within one key. State topics have one "
        "partition, are compacted, and every reader reads them whole. Dead-letter topics are read by operators with "
        "`siad dead-letters`, which also writes the retry topics. `<shard>` is a number below the line's `shards`. A "
        "viewer shows or counts records and never acts on them."
    )
    return f"{head}\n\n{table(('topic', 'kind', 'event', 'key', 'writer', 'readers', 'viewers'), rows)}"


def _holds(topic: Topic) -> tuple[str, str]:
    event, key = HOLDS.get(topic.name) or HOLDS_OF_KIND.get(topic.kind) or RETRY
    return (code(event) if " " not in event else event), key


def events_chapter() -> str:
    """Every field of every event, and the values of the enumerations."""
    file = _descriptor()
    comments = {tuple(one.path): _comment(one.leading_comments) for one in file.source_code_info.location}
    parts = [f"From `protos/{PROTO}`. An event holds at most 64 KB; images and masks are named, not carried."]
    for number, message in enumerate(file.message_type):
        rows: list[tuple[str, ...]] = []
        for place, field in enumerate(message.field):
            text = comments.get((MESSAGE, number, FIELD, place), "")
            rows.append((code(field.name), _type(field), str(field.number), text or _as_before(rows)))
        parts += [
            f"### `{message.name}`",
            comments[MESSAGE, number],
            table(("field", "type", "number", "meaning"), rows),
        ]
    for number, enum in enumerate(file.enum_type):
        values = [
            (code(value.name), str(value.number), comments.get((ENUM, number, FIELD, place)) or _of_value(value.name))
            for place, value in enumerate(enum.value)
        ]
        parts += [f"### `{enum.name}`", comments[ENUM, number], table(("value", "number", "meaning"), values)]
    return "\n\n".join(parts)


def _comment(text: str) -> str:
    """A comment without the name of its message in front."""
    return sentence(re.sub(r"^ ?[A-Z]\w+: ", "", text))


def _of_value(name: str) -> str:
    return "What a reader takes a value of a newer writer for." if name.endswith("_UNSPECIFIED") else ""


def _as_before(rows: list[tuple[str, ...]]) -> str:
    """The comment of the field above, for a field without one."""
    return rows[-1][3] if rows else ""


def _descriptor() -> FileDescriptorProto:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "events.bin"
        include = Path(protoc.__file__).parent / "_proto"
        options = [f"-I{ROOT / 'protos'}", f"-I{include}", f"--descriptor_set_out={out}", "--include_source_info"]
        if protoc.main(["protoc", *options, PROTO]) != 0:
            msg = f"protoc refused protos/{PROTO}; its own message is above"
            raise RuntimeError(msg)
        return FileDescriptorSet.FromString(out.read_bytes()).file[-1]


def _type(field: FieldDescriptorProto) -> str:
    kind = (
        field.type_name.rpartition(".")[2] or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    )
    return f"list of {kind}" if field.label == FieldDescriptorProto.LABEL_REPEATED else kind


def keys_chapter() -> str:
    """Every kind of object in the bucket."""
    rows = [(code(key), sentence(text)) for key, text in store_keys()]
    head = "From `siad/contracts/keys.py`, `access_keys.py` and `trial_keys.py`, which make every key of the bucket."
    return f"{head}\n\n{table(('key', 'object'), rows)}"


def store_keys() -> list[tuple[str, str]]:
    """Each key with placeholders for its parts, and what it names.

    A prefix is listed only where no key begins with it.
    """
    found = []
    for name, value in (*vars(keys).items(), *vars(access_keys).items(), *vars(trial_keys).items()):
        if inspect.isfunction(value) and name.endswith(("_key", "_prefix")):
            given: dict[str, Any] = {one: _Placeholder(one) for one in inspect.signature(value).parameters}
            if "place" in given:
                given["place"] = Place(_Placeholder("line"), _Placeholder("product"))
            found.append((str(value(**given)), (inspect.getdoc(value) or "").partition("\n\n")[0]))
        elif name.endswith("_KEY"):
            found.append((value, "Written conditionally at every start, to check that the store keeps conditions"))
    whole = {key for key, _ in found}
    return sorted(one for one in found if not any(key != one[0] and key.startswith(one[0]) for key in whole))


class _Placeholder(str):
    """``<name>`` wherever a key takes a name, a number or a date."""

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        return super().__new__(cls, f"<{name}>")

    def astimezone(self, _: Any) -> Self:
        """A date in another zone."""
        return self

    def __format__(self, form: str) -> str:
        return "<date>" if "%" in form else str(self)
