"""Settings: one table for each environment prefix.

The description of a setting is its ``Field(description=...)``, else the comment behind it, else the comment lines
above it. A comment above a setting that also has one behind it is the heading of a group and is left out.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import FilePath, SecretStr
from pydantic.fields import FieldInfo

from docs.generator.table import code, sentence, table
from siad.runtime.settings import Settings, StageSettings

STAGES: Final = ("ingest", "labeler", "console", "trainer", "inference")
SHARED: Final = ("siad.runtime.access.settings", "siad.runtime.bus.settings", "siad.runtime.blobs.settings")
UNITS: Final = {"_mb": "MiB", "_s": "s", "_h": "h", "_days": "days", "_bytes": "bytes", "_px": "px", "_px_max": "px"}
UNITS_OF: Final = {"upload_max_bytes": "bytes", "uploads_bytes_max": "bytes", "pixels_max": "px"}
SIGNS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def settings_chapter() -> str:
    """Every setting of every process."""
    head = (
        "Settings are environment variables, read once at the start. A process refuses to start on an unknown name "
        "under its own prefix, a missing value or a value out of bounds, and its error names the setting."
    )
    parts = [
        head,
        "### Every stage: `SIAD_<STAGE>_*`",
        f"`<STAGE>` is one of {', '.join(stage.upper() for stage in STAGES)}.",
        _table("SIAD_<STAGE>_", StageSettings, known={}),
    ]
    shared = StageSettings.model_fields
    for module in (*(f"services.{stage}.settings" for stage in STAGES), *SHARED):
        for kind in settings_classes(module):
            prefix = str(kind.model_config.get("env_prefix", ""))
            known = shared if issubclass(kind, StageSettings) else {}
            parts += [f"### `{prefix}*`", f"From `{module.replace('.', '/')}.py`.", _table(prefix, kind, known=known)]
    return "\n\n".join(parts)


def settings_classes(module: str) -> Iterator[type[Settings]]:
    """The settings classes that a module defines."""
    for value in vars(importlib.import_module(module)).values():
        if inspect.isclass(value) and issubclass(value, Settings) and value.__module__ == module:
            yield value


def _table(prefix: str, kind: type[Settings], *, known: Mapping[str, FieldInfo]) -> str:
    comments = comments_of(kind)
    rows = [
        (
            code(f"{prefix}{name}".upper()),
            _type(field),
            _default(name, field),
            ", ".join(part for part in (_unit(name), _bounds(field)) if part),
            sentence(field.description or comments.get(name, "") or _shared_text(name, known)),
        )
        for name, field in kind.model_fields.items()
        if name not in known or name in comments or field.default != known[name].default
    ]
    return table(("name", "type", "default", "unit, bounds", "description"), rows)


def _shared_text(name: str, known: Mapping[str, FieldInfo]) -> str:
    return comments_of(StageSettings).get(name, "") if name in known else ""


def comments_of(kind: type[Settings]) -> dict[str, str]:
    """The comment of each field in the source of a settings class."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    (definition,) = ast.parse(source).body
    found = {}
    for node in ast.iter_child_nodes(definition):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno is not None:
            behind = [_behind(line) for line in lines[node.lineno - 1 : node.end_lineno]]
            text = " ".join(part for part in behind if part) or _above(lines, node.lineno - 1)
            if text:
                found[node.target.id] = text
    return found


def _behind(line: str) -> str:
    """The comment at the end of a line, if any."""
    _, mark, comment = line.rpartition("  # ")
    return comment.strip() if mark else ""


def _above(lines: list[str], index: int) -> str:
    block: list[str] = []
    while index > 0 and (text := lines[index - 1].strip()).startswith("# "):
        block.insert(0, text.removeprefix("# "))
        index -= 1
    return " ".join(block)


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(code(str(value)) for value in get_args(annotation))
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    names = {
        SecretStr: "secret",
        FilePath: "path of a file",
        Path: "path",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
    }
    return " or ".join(names.get(kind, "URL" if "Url" in str(kind) else str(kind)) for kind in kinds)


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, int) and _unit(name) == "bytes" and value % 2**20 == 0:
        return f"{code(str(value))} ({value // 2**20} MiB)"
    return code(_number(value) if isinstance(value, int | float) else str(value))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _unit(name: str) -> str:
    if name in UNITS_OF:
        return UNITS_OF[name]
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


def _bounds(field: FieldInfo) -> str:
    found = [
        f"{sign} {_number(getattr(rule, name))}"
        for rule in field.metadata
        for name, sign in SIGNS.items()
        if hasattr(rule, name)
    ]
    found += [f"matches `{rule.pattern}`" for rule in field.metadata if getattr(rule, "pattern", None)]
    return ", ".join(found)
