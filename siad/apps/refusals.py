"""Refusals of ingest in the terms of the command line.

Ingest writes to senders over HTTP: "<what happened>; nothing was stored. <what to change>". Users of ``siad`` have
options, not headers, so what happened is kept, with options in place of headers and fields, and what to change is
written anew for each kind of refusal.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_OUTCOME: Final = re.compile(r"; (?:nothing was \w+|nothing is lost|no data was lost)(?:\. |; |: |$)")
_OPTIONS: Final = ("product", "false_reject_budget", "shards", "deadline_s", "method", "region", "input_px", "bits")
_TERMS: Final = (
    (re.compile(r'If-Match "([^"]*)"'), r"--if-revision \1"),
    (re.compile(r"the request has"), "the command has"),
    (re.compile(r"Idempotency-Key"), "key"),
    (re.compile(r"\bcaptured_at\b"), "time"),
    (re.compile(rf"(?<![\w-])({'|'.join(_OPTIONS)})(?= )"), lambda found: _option(found[1])),
)
_NEW: Final = "To have the image judged as another exposure, send it with --new"
_CLOCK: Final = "Set the camera's clock, or leave out the group 'captured_at' of --serial-from-name"
_VERSION: Final = "This siad and ingest are of different versions: use the same one"
_KEY: Final = "Set SIAD_API_KEY to"
_ADVICE: Final[Mapping[str, str]] = {
    "unknown-line": "Register it: siad line put {line} --product PRODUCT (siad line list shows all)",
    "precondition-failed": "See its revision: siad line get {line}; then decide again",
    "signed-out": f"{_KEY} an API key: siad key create makes one",
    "unknown-key": f"{_KEY} another key: siad key create makes one",
    "ended-key": f"{_KEY} another key: siad key create makes one",
    "not-allowed": f"{_KEY} a key that may: siad key create makes one",
    "product-missing": "Add --product PRODUCT",
    "shards-shrink": "Give --shards a larger number, up to 64, or leave it out",
    "idempotency-key-reused": _NEW,
    "capture-differs": _NEW,
    "capture-is-normal": _NEW,
    "forgotten": _NEW,
    "invalid-time": _CLOCK,
    "naive-time": _CLOCK,
    "future-time": _CLOCK,
    "past-time": _CLOCK,
    "invalid-serial": "Correct the group 'serial' of --serial-from-name",
    "invalid-line": "Correct the option and repeat the command",
    "invalid-request": "Correct it and repeat the command",
    "unknown-parameter": _VERSION,
    "repeated-parameter": _VERSION,
    "invalid-intent": _VERSION,
    "invalid-etag": _VERSION,
    "invalid-idempotency-key": _VERSION,
    "unsupported-media-type": _VERSION,
    "invalid-form": _VERSION,
    "no-image": _VERSION,
    "too-slow": "Check the network between here and ingest, and send it again",
    "cut-off": "Check the network between here and ingest, and send it again",
    "too-large": "Send a smaller image, or raise SIAD_INGEST_UPLOAD_MAX_BYTES and SIAD_INGEST_PIXELS_MAX of ingest",
    "store-refuses": "If it persists, check the bucket and the access keys of ingest",
    "http-error": "Check --url: it must be the address of ingest, such as http://127.0.0.1:8400",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem as ingest sent it."""

    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = field(default_factory=tuple)  # of invalid-request: where and what
    line: str = "LINE"  # that the request was about


def explain(refusal: Refusal) -> str:
    """Say what happened, what was done and which option to change."""
    happened, advice = _parts(refusal)
    outcome = _OUTCOME.search(refusal.detail)
    done = re.sub(r"^; |[.;: ]+$", "", outcome[0]) if outcome else ""
    text = "; ".join(part for part in (happened, done) if part)
    return f"{text}. {advice}" if advice else text


def _parts(refusal: Refusal) -> tuple[str, str]:
    """What happened, and what to change; empty if unknown."""
    outcome = _OUTCOME.search(refusal.detail)
    happened = refusal.detail[: outcome.start()] if outcome else refusal.detail
    if refusal.errors:
        happened = "; ".join(f"{_name(error.get('where', ''))} {error.get('what', '')}" for error in refusal.errors)
    for pattern, instead in _TERMS:
        happened = pattern.sub(instead, happened)
    return happened, _ADVICE.get(refusal.code, "").format(line=refusal.line)


def _name(where: str) -> str:
    """The argument or option of a place such as ``body.product``."""
    kind, _, name = where.partition(".")
    if kind == "body" and name.partition(".")[0] in _OPTIONS:
        return _option(name.partition(".")[0])
    return name.upper() if kind == "path" else name or kind


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
