"""Commands of ``siad`` with their arguments and options."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args

import typer.main

from docs.generator.table import code, codes, sentence, table
from siad.apps.cli.__main__ import app

KINDS: Final = {str: "text", int: "whole number", float: "number", Path: "path"}


def commands_chapter() -> str:
    """Every command, in the order of ``siad --help``."""
    return "\n\n".join(
        part for path, command in _walk("siad", typer.main.get_command(app)) for part in _part(path, command)
    )


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from _walk(f"{path} {name}", below)


def _part(path: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([path, *(_metavar(one) for one in arguments), "[OPTIONS]"])
    yield f"### `{usage}`"
    yield sentence(command.help or "")
    rows = [
        (
            code(_names(one)),
            _values(one),
            code(_default(one)) or ("required" if one.required else ""),
            sentence(one.help or ""),
        )
        for one in command.params
        if one.name != "help"
    ]
    if rows:
        yield table(("argument or option", "value", "default", "meaning"), rows)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _metavar(parameter).strip("[]")
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _values(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    kind = _element(parameter.type_descriptor.annotation)
    if issubclass(kind, Enum):
        return codes(str(one.value) for one in kind)
    bounds = [f"{sign} {value:g}" for sign, value in (("≥", parameter.min), ("≤", parameter.max)) if value is not None]
    return ", ".join([KINDS[kind], *bounds])


def _element(annotation: Any) -> type:
    """The type of one value: ``int`` for ``list[int] | None``."""
    for inner in get_args(annotation):
        if inner is not type(None):
            return _element(inner)
    if not isinstance(annotation, type):
        msg = f"no name for the values of type {annotation}; add it to KINDS in docs/generator/commands.py"
        raise TypeError(msg)
    return annotation


def _default(parameter: Any) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    if callable(value) or value is None or value is False or value == "":
        return ""
    if value is True:
        return str(parameter.opts[0])
    return f"{value:g}" if isinstance(value, float) else str(value)
