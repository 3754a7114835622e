"""Log messages of libraries: in a file, or discarded.

They never mix with the output of a command.
"""

import logging
from pathlib import Path

import structlog

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def log_libraries_to(path: Path) -> None:
    """Write warnings and log events to a new file from now on."""
    file = path.open("w", buffering=1)
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    structlog.configure(
        logger_factory=structlog.WriteLoggerFactory(file),
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )


def silence_bus_client() -> None:
    """Keep messages of the Kafka client off the terminal.

    A command reports an unavailable broker itself, once.
    """
    client = logging.getLogger("aiokafka")
    if not client.handlers:
        client.addHandler(logging.NullHandler())
