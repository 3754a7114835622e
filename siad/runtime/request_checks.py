"""Checks of every request before its route: address, query, JSON body.

A route reads the parameters that it declares, so without these checks a misspelt parameter would be ignored, and of a
repeated one the last would count. They are a dependency of the whole app: every route of every stage has them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import Request

from siad.runtime.described import has_json_body, query_parameters
from siad.runtime.problems import Problem, shown

_HIDDEN: Final = re.compile(rb"%2f|%5c|%[01][0-9a-f]|%7f|[\x00-\x1f\x7f]", re.IGNORECASE)
UNKNOWN: Final = "unknown-parameter"
REPEATED: Final = "repeated-parameter"
INVALID: Final = "invalid-request"


async def check_request(request: Request) -> None:
    """Refuse what the route would ignore or misread.

    Raises:
        Problem: an encoded slash in the address; an unknown or repeated parameter, or one that is not UTF-8; a JSON
            object that gives a member two values.
    """
    require_plain_address(request)
    app, path, method = request.app, request.scope["path"], request.method
    pairs = list(_query(request))
    require_known((name for name, _ in pairs), query_parameters(app, path, method))
    require_single(pairs)
    if has_json_body(app, path, method):
        _require_single_members(await request.body())


def require_plain_address(request: Request) -> None:
    """Refuse an encoded slash or control character.

    Decoded, a slash would make it the address of something else, and routes ignore a newline at the end.
    """
    raw = request.scope.get("raw_path") or b""
    if _HIDDEN.search(raw):
        detail = (
            f"the address {shown(raw.decode('latin-1'))} has an encoded slash or control character in a part; "
            "nothing was done. No name has one: correct the name"
        )
        raise Problem(404, "http-error", detail)


def require_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse parameters that are not among the known ones.

    Raises:
        Problem: unknown-parameter.
    """
    allowed = list(known)
    if unknown := sorted({name for name in names if name not in allowed}):
        listed = ", ".join(shown(name) for name in unknown)
        some = f"parameter {listed} is" if len(unknown) == 1 else f"parameters {listed} are"
        rest = f"Known are {', '.join(allowed)}" if allowed else "This address has no parameters"
        raise Problem(422, UNKNOWN, f"{some} unknown; nothing was done. {rest}")


def require_single(pairs: Iterable[tuple[str, Any]]) -> None:
    """Refuse a parameter that has two different values.

    Raises:
        Problem: repeated-parameter.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if values.setdefault(name, value) != value:
            detail = (
                f"{shown(name)} is given twice, as {shown(values[name])} and as {shown(value)}; nothing was done. Send "
                "one of them"
            )
            raise Problem(422, REPEATED, detail)


def _query(request: Request) -> Iterator[tuple[str, str]]:
    """Names and values of the query.

    A byte that is not UTF-8 would become a replacement character, and the value another one.
    """
    for part in request.scope["query_string"].split(b"&"):
        if not part:
            continue
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        try:
            part.decode("ascii")  # other bytes would be read as Latin-1
            yield unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
        except UnicodeDecodeError as error:
            detail = (
                f"the parameter {shown(part.decode('utf-8', 'backslashreplace'))} is not UTF-8 written as %XX; nothing "
                "was done. Encode it so"
            )
            raise Problem(422, INVALID, detail) from error


def _require_single_members(body: bytes) -> None:
    """Refuse a JSON object that has one name twice with different values."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require_single(pairs)
        return dict(pairs)

    try:
        json.loads(body, object_pairs_hook=check)
    except (ValueError, RecursionError):
        return  # the route says that it is not JSON
