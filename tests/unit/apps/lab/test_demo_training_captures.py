"""What the demo takes for learned from: members of training sets, whatever else lies beside them."""

import io

import pyarrow as pa
from pyarrow import parquet

from siad.apps.lab.demo.cells import LINE, PRODUCT
from siad.apps.lab.demo.measure import training_captures
from siad.runtime.blobs.memory import MemoryBlobs


def test_only_training_sets_are_read_and_not_the_lists_beside_them() -> None:
    blobs = MemoryBlobs()
    folder = f"training-sets/{LINE}/{PRODUCT}"
    for name, captures in (("one", ["a", "b"]), ("two", ["b", "c"])):
        data = io.BytesIO()
        parquet.write_table(pa.table({"capture_id": captures, "weight": [1.0] * len(captures)}), data)
        blobs.put(f"{folder}/{name}.parquet", data.getvalue(), content_type="application/vnd.apache.parquet")
        blobs.put(f"{folder}/{name}.members.json", b'{"captures": ["z"]}', content_type="application/json")
    assert training_captures(blobs) == {"a", "b", "c"}
