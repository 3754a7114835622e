"""Problems (RFC 9457): errors of a stage over HTTP, in words."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from siad.contracts.ids import SLUG, SLUG_RULE
from siad.runtime.described import addresses, body_members, methods_at

PROBLEM_TYPE: Final = "application/problem+json"
_SHOWN_CHARS: Final = 60  # of a value in a message
_PATTERNS: Final = {f"^{SLUG.pattern}$": f"is not {SLUG_RULE}"}
_WORDS: Final = {
    "greater_than": "is not above {gt:g}",
    "greater_than_equal": "is less than {ge:g}",
    "less_than": "is not below {lt:g}",
    "less_than_equal": "is more than {le:g}",
    "too_long": "has more than {max_length} values",
    "string_too_long": "has more than {max_length} characters",
    "finite_number": "is not a finite number",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "string_type": "is not a text",
    "list_type": "is not a list",
    "model_attributes_type": "is not a JSON object; send one as application/json",
}  # rules of pydantic, by its names for their violations


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """Error of a route that the client gets as it is."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """Describe the problem.

        Args:
            status: HTTP status.
            code: kebab-case name of this kind of problem; clients branch on it.
            detail: what happened with the value, what the stage did, what to change.
            headers: headers of the response.
            more: additional members of the problem.
        """
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.more = status, code, detail, headers, more


PROBLEM: Final[dict[str, Any]] = {
    "description": "Problem (RFC 9457): `type` names its kind, `detail` says what to change",
    "content": {
        PROBLEM_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}  # of every route, in place of the 422 that FastAPI would describe


def problem_response(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Build the response of a problem."""
    body = {"type": f"urn:siad:problem:{code}", "title": code.replace("-", " "), "status": status, "detail": detail}
    return JSONResponse({**more, **body}, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


def add_request_problems(app: FastAPI) -> None:
    """Answer refused, unmatched and invalid requests by problems."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)


def shown(value: Any) -> str:
    """A value in quotes for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error.status, error.code, error.detail, headers=error.headers, **error.more)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Name the address, and those that there are."""
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404 and detail == "Not Found":
        detail = _unmatched(request)
    elif error.status_code == 405 and (methods := methods_at(request.app, request.scope["path"])):
        headers |= {"Allow": ", ".join(methods)}
        address = shown(request.scope["path"])
        detail = f"{request.method} is not possible at {address}; nothing was done. Use {' or '.join(methods)}"
    return problem_response(error.status_code, "http-error", detail, headers=headers)


def _unmatched(request: Request) -> str:
    path, known = request.scope["path"], addresses(request.app)
    listed = ", ".join(f"{method} {template}" for template, methods in known.items() for method in methods)
    hint = ""
    if any("{line}" in template and path.startswith(template.partition("{")[0]) for template in known):
        hint = f"The name of a line is one part of the address, {SLUG_RULE}, without '/'. "
    return f"{request.method} {shown(path)} is no address here; nothing was done. {hint}Addresses: {listed}"


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Name each field, its value and the rule.

    The value of a body as a whole is left out: it may be an image.
    """
    assert isinstance(error, RequestValidationError)
    errors = list(_faults(request, error))
    detail = "; ".join(f"{_name(fault['where'])} {fault['what']}" for fault in errors)
    advice = "nothing was done. Correct it and send the request again"
    return problem_response(422, "invalid-request", f"{detail}; {advice}", errors=errors)


def _faults(request: Request, error: RequestValidationError) -> Iterator[dict[str, str]]:
    members = body_members(request.app, request.scope["path"], request.method)
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            yield {"where": where, "what": f"is unknown; known are {', '.join(members)}"}
        else:
            yield {"where": where, "what": _words(fault)}


def _words(fault: Mapping[str, Any]) -> str:
    """What is wrong with a field, with its value."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "json_invalid":
        return f"is not JSON: {context.get('error', fault['msg'])}"
    if kind == "string_pattern_mismatch":
        rule = _PATTERNS.get(context["pattern"], f"does not match {context['pattern']}")
    elif kind in _WORDS:
        rule = _WORDS[kind].format(**context)
    else:
        message = str(fault["msg"])
        rule = f"is not valid: {message[:1].lower()}{message[1:]}"
    value = fault.get("input")
    is_shown = not isinstance(value, bytes | dict | None)
    return f"{shown(value)} {rule}" if is_shown else rule


def _name(where: str) -> str:
    """The field of a place such as ``body.product``."""
    kind, _, field = where.partition(".")
    return f"the {kind}" if not field or field.isdecimal() else field
