"""`siad kafka`: one Kafka node on loopback, until Ctrl-C."""

import json
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.local.data_folder import require_writable
from siad.apps.local.kafka.node import KafkaNode

console = Console(stderr=True)


def kafka(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="PATH",
            parser=options.parse_folder,
            help="Folder for Kafka's data; a second start continues with it.",
        ),
    ] = Path("var/kafka"),
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port for clients; default: a free one, then kept."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print address and process id as JSON.")] = False,
) -> None:
    """Start one Kafka node (KRaft) on this machine, without SIAD.

    Ctrl-C stops it.

    Needs Java 17 or later, and Maven for the first start. Prints the address for clients.
    """
    node = KafkaNode(data.resolve(), port, notify=_notify)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends it like Ctrl-C, also during the start
    try:
        _start(node, data, as_json=as_json)
        while node.alive:
            time.sleep(0.5)
        print_failure(f"Kafka ended unexpectedly; its log {data / 'kafka.log'} gives the reason")
        raise typer.Exit(1)
    except KeyboardInterrupt:
        _notify("stopping Kafka")
    finally:
        node.stop()


def _start(node: KafkaNode, data: Path, *, as_json: bool) -> None:
    with reported_failures():
        require_writable(data)
        _notify(f"starting Kafka, data in {data}")
        node.start()
    print(json.dumps({"bootstrap": node.bootstrap, "pid": node.pid}) if as_json else node.bootstrap, flush=True)
    _notify(f"Kafka runs at {node.bootstrap}; Ctrl-C stops it")


def _notify(text: str) -> None:
    console.print(f"[dim]siad[/] {text}", highlight=False, soft_wrap=True)
