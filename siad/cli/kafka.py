"""`siad kafka`: one Kafka node on loopback, until Ctrl-C."""

import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from siad.runtime.kafka.node import KafkaNode

console = Console(stderr=True)


def kafka(
    data: Annotated[Path, typer.Option("--data", help="Folder of its data; a second start carries on.")] = Path(
        "var/kafka"
    ),
    port: Annotated[int | None, typer.Option("--port", help="Where clients connect; default a free port.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
) -> None:
    """Start one Kafka node (KRaft) on this machine; Ctrl-C stops it."""
    node = KafkaNode(data.resolve(), port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console.print("starting Kafka; the first time, Maven fetches 44 MB of jars")
    try:
        node.start()
    except RuntimeError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(1) from error
    print(json.dumps({"bootstrap": node.bootstrap, "pid": node.pid}) if as_json else node.bootstrap, flush=True)
    console.print(f"Kafka runs at {node.bootstrap}, data in {data}; Ctrl-C stops it")
    while not stop.wait(1.0):
        if not node.alive:
            console.print(f"[red]Kafka ended by itself; see {data / 'kafka.log'}")
            raise typer.Exit(1)
    node.stop()
