"""`siad`: every command."""

import io
import logging
import sys
from typing import Any

import structlog
import typer

from siad.apps.cli.account import account_app
from siad.apps.cli.audit_log import audit_log
from siad.apps.cli.correct import correct
from siad.apps.cli.data import data_app
from siad.apps.cli.dead_letters import dead_letters_app
from siad.apps.cli.demo import demo
from siad.apps.cli.doctor import doctor
from siad.apps.cli.drift import drift
from siad.apps.cli.evaluate import evaluate
from siad.apps.cli.export import export
from siad.apps.cli.failures import PlainGroup
from siad.apps.cli.forget import forget_app
from siad.apps.cli.kafka import kafka
from siad.apps.cli.key import key_app
from siad.apps.cli.library_log import silence_bus_client
from siad.apps.cli.line import line_app
from siad.apps.cli.lineage import lineage, taint
from siad.apps.cli.review import review
from siad.apps.cli.rollback import rollback
from siad.apps.cli.rollout import rollout
from siad.apps.cli.routine import routine
from siad.apps.cli.runs import runs_app
from siad.apps.cli.send import send
from siad.apps.cli.show import show
from siad.apps.cli.sign_in import sign_in
from siad.apps.cli.status import status
from siad.apps.cli.store_policy import store_policy
from siad.apps.cli.up import up
from siad.apps.cli.verdict import verdict
from siad.apps.cli.verdicts import verdicts
from siad.apps.cli.watch import watch

HELP = """Visual inspection that learns from the line it watches, without labels.

A first look: `siad demo`. For your own images: `siad up` in one terminal; in another `siad line put`, then
`siad send` and `siad verdicts`.
"""
RUN, LINES, ANSWERS, LAB = "Run", "Lines and images", "Results and operation", "Try methods on a folder"

app = typer.Typer(
    name="siad",
    cls=PlainGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # reflows the paragraphs of a command's help
)


@app.callback()
def _set_up_logs() -> None:
    """Keep standard output for results; warnings go to standard error.

    What a command did, it says itself, so that its log events are not printed too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may have bytes that are not UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")

    def to_stderr(*_: Any) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)

    structlog.configure(logger_factory=to_stderr, wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    silence_bus_client()


app.command(rich_help_panel=RUN)(demo)
app.command(rich_help_panel=RUN)(up)
app.command(rich_help_panel=RUN)(kafka)
app.add_typer(line_app, name="line", rich_help_panel=LINES)
app.command(rich_help_panel=LINES)(send)
app.command(rich_help_panel=LINES)(watch)
app.add_typer(data_app, name="data", rich_help_panel=LINES)
app.command(rich_help_panel=ANSWERS)(verdicts)
app.command(rich_help_panel=ANSWERS)(verdict)
app.command(rich_help_panel=ANSWERS)(show)
app.command(rich_help_panel=ANSWERS)(drift)
app.command(rich_help_panel=ANSWERS)(review)
app.command(rich_help_panel=ANSWERS)(correct)
app.command(rich_help_panel=ANSWERS)(status)
app.command(rich_help_panel=ANSWERS)(doctor)
app.command(name="sign-in", rich_help_panel=ANSWERS)(sign_in)
app.add_typer(account_app, name="account", rich_help_panel=ANSWERS)
app.add_typer(key_app, name="key", rich_help_panel=ANSWERS)
app.command(name="audit-log", rich_help_panel=ANSWERS)(audit_log)
app.command(name="store-policy", rich_help_panel=ANSWERS)(store_policy)
app.add_typer(runs_app, name="runs", rich_help_panel=ANSWERS)
app.command(rich_help_panel=ANSWERS)(rollback)
app.command(rich_help_panel=ANSWERS)(rollout)
app.command(rich_help_panel=ANSWERS)(export)
app.command(rich_help_panel=ANSWERS)(lineage)
app.command(rich_help_panel=ANSWERS)(taint)
app.add_typer(dead_letters_app, name="dead-letters", rich_help_panel=ANSWERS)
app.add_typer(forget_app, name="forget", rich_help_panel=ANSWERS)
app.command(rich_help_panel=LAB)(evaluate)
app.command(rich_help_panel=LAB)(routine)


if __name__ == "__main__":
    app()
