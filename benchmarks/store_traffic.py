"""Requests and bytes to the store, counted by a TCP forwarder.

It stands between the stages and the store, and passes bytes on as they are, so that signatures stay valid. It counts
the request lines that it sees.
"""

import asyncio
import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final

_REQUEST: Final = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) /\S* HTTP/1\.1\r\n")
_CHUNK: Final = 1 << 16


class StoreTraffic:
    """Counts of one forwarder."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.sent_bytes = 0  # to the store
        self.received_bytes = 0
        self.port = 0

    async def serve(self, host: str, port: int, started: threading.Event) -> None:
        """Forward every connection to the store, until cancelled."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                upstream, downstream = await asyncio.open_connection(host, port)
                await asyncio.gather(
                    self._pass(reader, downstream, is_request=True), self._pass(upstream, writer, is_request=False)
                )

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await server.serve_forever()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if is_request:
                    self.sent_bytes += len(data)
                    self.requests.update(found.decode() for found in _REQUEST.findall(data))
                else:
                    self.received_bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def forwarded(host: str, port: int) -> Iterator[StoreTraffic]:
    """Run a forwarder in a thread of its own."""
    traffic, started, loop = StoreTraffic(), threading.Event(), asyncio.new_event_loop()
    task = loop.create_task(traffic.serve(host, port, started))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10), "the forwarder listens"
    try:
        yield traffic
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
