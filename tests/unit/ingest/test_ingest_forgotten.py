"""A repeat of an erased capture is refused, and not stored again."""

from datetime import UTC, datetime

import httpx

from siad.contracts.deletion import CaptureDeletion
from siad.contracts.documents import read_receipt
from siad.contracts.keys import capture_key, deletion_key
from siad.contracts.topics import IMAGE
from siad.erasure.capture import erase_captures, find_remains
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus


async def test_an_erased_capture_stays_erased(
    client: httpx.AsyncClient, blobs: MemoryBlobs, bus: MemoryBus, png: bytes
) -> None:
    await client.put("/v1/lines/l", json={"product": "p"})
    headers = {"Idempotency-Key": "k1", "Content-Type": "image/png"}
    first = await client.post("/v1/lines/l/images", content=png, headers=headers)
    capture = first.json()["capture_id"]
    receipt = read_receipt(blobs.get(capture_key("l", capture)).data)
    erase_captures(blobs, find_remains(blobs, "l", [CaptureDeletion.of(receipt, at=datetime(2026, 1, 2, tzinfo=UTC))]))
    again = await client.post("/v1/lines/l/images", content=png, headers=headers)
    assert (again.status_code, again.headers["content-type"]) == (410, "application/problem+json")
    assert capture in again.json()["detail"]
    assert [info.key for info in blobs.list("") if capture in info.key] == [deletion_key("l", capture)]
    assert list(blobs.list("images/")) == []
    assert len(bus.records(IMAGE.name)) == 1
    other = await client.post("/v1/lines/l/images", content=png, headers=headers | {"Idempotency-Key": "k2"})
    assert other.status_code == 202
