"""Memory for weights: by the settings, else by the container, else a number of models."""

from pathlib import Path

import pytest

from services.inference.domain.memory import room_for_weights
from siad.models.slots import Room
from siad.runtime.container_memory import memory_limit_bytes

GIB = 2**30


@pytest.mark.parametrize(
    ("models_max", "weights_mb", "container_bytes", "room"),
    [
        (None, None, None, Room(models_max=16)),
        (None, None, 2 * GIB, Room(bytes_max=GIB)),
        (8, None, 2 * GIB, Room(models_max=8)),
        (None, 512, 2 * GIB, Room(bytes_max=GIB // 2)),
        (8, 512, None, Room(models_max=8, bytes_max=GIB // 2)),
    ],
)
def test_a_setting_comes_before_the_container(
    models_max: int | None, weights_mb: int | None, container_bytes: int | None, room: Room
) -> None:
    assert room_for_weights(models_max=models_max, weights_mb=weights_mb, container_bytes=container_bytes) == room


@pytest.mark.parametrize(
    ("texts", "limit"),
    [
        (["2147483648\n"], 2 * GIB),
        (["max\n"], None),
        ([None, "1073741824\n"], GIB),  # the first version of control groups
        ([None, "9223372036854771712\n"], None),
        ([None, None], None),
    ],
)
def test_the_limit_of_the_container(tmp_path: Path, texts: list[str | None], limit: int | None) -> None:
    files = tuple(tmp_path / str(number) for number in range(len(texts)))
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    assert memory_limit_bytes(files) == limit
