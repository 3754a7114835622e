"""`siad sign-in`: a link that opens the console's page."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.local.machine import DATA, read_state
from siad.apps.local.sign_in import NOT_BUILT, make_link

console = Console()


def sign_in(
    person: Annotated[
        str, typer.Option("--person", help="Name that corrections are stored under; default: your user name.")
    ] = "",
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Print a link that opens the console's page, once, within 30 minutes.

    Open it in a browser on this machine. The browser stays signed in for 12 hours, or until the console restarts.
    """
    with reported_failures():
        link = make_link(read_state(data)["console"], person)
        if not link.is_page_built:
            print_failure(NOT_BUILT)
            raise typer.Exit(1)
        if as_json:
            typer.echo(json.dumps({"url": link.url, "expires_at": link.expires_at.isoformat()}))
        else:
            console.print(escape(link.url), highlight=False, soft_wrap=True)
