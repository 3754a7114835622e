"""Failures of a command: one line on standard error, exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.client import ProblemError
from siad.apps.files import failure_of
from siad.contracts.errors import ConflictError, CorruptError, MissingError, TransientError


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
        RuntimeError,
        ValueError,
        LookupError,
    ) as error:
        print_failure(str(error))
        raise typer.Exit(1) from error
    except OSError as error:
        print_failure(failure_of(error))
        raise typer.Exit(1) from error


def print_failure(text: str) -> None:
    """Print a failure on standard error.

    Bytes of names that are not UTF-8 are escaped.
    """
    text = text.encode(errors="backslashreplace").decode()
    Console(stderr=True).print(f"[red]{escape(text)}", highlight=False, soft_wrap=True)
