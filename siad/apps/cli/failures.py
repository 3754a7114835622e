"""Failures of a command: a message on standard error, exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from siad.apps.client import ProblemError, describe_transport_error
from siad.apps.files import failure_of
from siad.contracts.errors import ConflictError, CorruptError, MissingError, TransientError
from siad.runtime.validation import plain_reason


class PlainGroup(TyperGroup):
    """Commands that say in plain words why an option is refused.

    Typer reads options by pydantic, and prints its messages.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = plain_reason(error.message)
            raise


@contextmanager
def reported_failures() -> Iterator[None]:
    """Print an expected failure and end the command with 1.

    Other exceptions are bugs and keep their traceback.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):  # RuntimeErrors by class, but how a command ends itself
        raise
    except (
        ProblemError,
        TransientError,
        MissingError,
        ConflictError,
        CorruptError,
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        httpx.HTTPError,
        httpx.InvalidURL,
    ) as error:
        print_failure(describe_failure(error))
        raise typer.Exit(1) from error


def describe_failure(error: BaseException) -> str:
    """Describe a failure without numbers and class names of libraries."""
    if isinstance(error, OSError):
        return failure_of(error)
    if isinstance(error, httpx.TransportError):
        return f"a stage does not respond: {describe_transport_error(error)}. siad status shows which"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text or f"the command failed ({type(error).__name__}); please report this with the command"


def print_failure(text: str) -> None:
    """Print a failure on standard error.

    Bytes of names that are not UTF-8 are escaped.
    """
    text = text.encode(errors="backslashreplace").decode()
    Console(stderr=True).print(f"[red]{escape(text)}", highlight=False, soft_wrap=True)
