"""`siad kafka`: one Kafka node on loopback, until Ctrl-C."""

import json
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.local.kafka.node import KafkaNode

console = Console(stderr=True)


def kafka(
    data: Annotated[Path, typer.Option("--data", help="Folder of its data; a second start carries on.")] = Path(
        "var/kafka"
    ),
    port: Annotated[int | None, typer.Option("--port", help="Where clients connect; default a free port.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
) -> None:
    """Start one Kafka node (KRaft) on this machine; Ctrl-C stops it."""
    node = KafkaNode(data.resolve(), port, say=_say)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end it alike, also while it starts
    try:
        _start(node, data, as_json=as_json)
        while node.alive:
            time.sleep(0.5)
        console.print(f"Kafka ended by itself; see {data / 'kafka.log'}", style="red")
        raise typer.Exit(1)
    except KeyboardInterrupt:
        _say("stopping Kafka")
    finally:
        node.stop()


def _start(node: KafkaNode, data: Path, *, as_json: bool) -> None:
    _say(f"starting Kafka, data in {data}")
    try:
        node.start()
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    print(json.dumps({"bootstrap": node.bootstrap, "pid": node.pid}) if as_json else node.bootstrap, flush=True)
    _say(f"Kafka runs at {node.bootstrap}; Ctrl-C stops it")


def _say(text: str) -> None:
    console.print(f"[dim]siad[/] {text}", highlight=False)
