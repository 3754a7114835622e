"""`siad`: every command."""

import sys
from typing import Any

import structlog
import typer

from siad.apps.cli.dead_letters import dead_letters_app
from siad.apps.cli.forget import forget_app
from siad.apps.cli.kafka import kafka
from siad.apps.cli.line import line_app
from siad.apps.cli.send import send
from siad.apps.cli.status import status
from siad.apps.cli.up import up
from siad.apps.cli.verdicts import verdicts
from siad.apps.edge.command import watch
from siad.apps.lab.demo.command import demo
from siad.apps.lab.evaluate.command import evaluate
from siad.apps.lab.routine.command import routine

app = typer.Typer(
    name="siad",
    help="Self-supervised visual inspection that teaches itself, for as long as the line runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _log_beside_the_answer() -> None:
    """Standard output is for what was asked; what libraries log on the way goes to standard error."""

    def to_stderr(*_: Any) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)

    structlog.configure(logger_factory=to_stderr)


app.command()(up)
app.command()(demo)
app.command()(status)
app.command()(send)
app.command()(watch)
app.command()(verdicts)
app.command()(evaluate)
app.command()(routine)
app.command()(kafka)
app.add_typer(line_app, name="line")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(forget_app, name="forget")


if __name__ == "__main__":
    app()
