"""Synthetic parts for tests: textured images, blobs for defects, and tiny teachers fitted on them.

Shape suffixes: H = height, W = width, C = channels.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.codec import encode
from siad.contracts.events import ImageStored, Intent, LineChanged, SegmenterStatus, WeightsKind
from siad.contracts.ids import ImageId, capture_id_of, image_id_of, record_key
from siad.contracts.keys import image_key
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.models.bundle import Bundle, open_bundle
from siad.models.teachers.feature_memory import fit
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.normals import Normals
from siad.runtime.blobs.port import Blobs
from siad.runtime.bus.port import Message
from siad.runtime.store.registry import Registry
from siad.vision.images import Image

LINE, PRODUCT = "line-1", "cell"
SIDE_PX = 64
TINY = MemoryRecipe(input_px=64, places_max=60, candidates_max=400)


def part_image(seed: int, *, defect: bool = False) -> NDArray[np.uint8]:
    """One part: uint8 [64, 64, 1], soft stripes and grain; a defect is a bright blob."""
    rng = np.random.default_rng(seed)
    stripes = 12 * np.sin(np.arange(SIDE_PX) / 4 + rng.uniform(0, 0.3))
    image = 120 + stripes[None, :] + rng.normal(0, 6, (SIDE_PX, SIDE_PX))
    if defect:
        x, y = (int(v) for v in rng.integers(14, 50, 2))
        cv2.circle(image, (x, y), 8, 250.0, -1)
    return np.clip(image, 0, 255).astype(np.uint8)[:, :, None]


def normals_of(images: Sequence[Image], capture_ids: Sequence[str] | None = None, *, line: str = LINE) -> Normals:
    """Normals under the given capture ids; in the order of the images without any."""
    names = [f"{index:032x}" for index in range(len(images))] if capture_ids is None else capture_ids
    return Normals.ordered(images, names, Place(line, PRODUCT))


def png(image_HWC: NDArray[np.uint8]) -> bytes:
    """An image as PNG."""
    done, data = cv2.imencode(".png", image_HWC)
    assert done
    return bytes(data)


@cache
def bundle(kind: WeightsKind = WeightsKind.TEACHER, *, seed: int = 0, line: str = LINE) -> Bundle:
    """A tiny teacher that finds the blobs; another seed gives other weights, another kind the same model renamed."""
    seeds = range(1000 + 10 * seed, 1010 + 10 * seed)
    images = [part_image(one) for one in seeds]
    capture_ids = [f"{one:032x}" for one in seeds]
    made = fit(normals_of(images, capture_ids, line=line), false_reject_budget=0.05, recipe=TINY)
    # ten normals promise little, and a test must know what is a defect: cut half-way between good parts and blobs
    good, bad = (_scores(made, defect=defect) for defect in (False, True))
    assert max(good) < min(bad), "this teacher can't tell the parts apart"
    threshold = (max(good) + min(bad)) / 2
    return Bundle(replace(made.manifest, kind=kind, image_threshold=threshold), made.parts)


def _scores(made: Bundle, *, defect: bool) -> list[float]:
    images = [part_image(seed, defect=defect) for seed in range(5000, 5040)]
    return [finding.score for finding in open_bundle(made.manifest, made.parts).predict(images)]


def release(blobs: Blobs, made: Bundle, *, status: SegmenterStatus = SegmenterStatus.SERVING) -> Pointer:
    """Store a bundle and move its pointer."""
    registry, manifest = Registry(blobs), made.manifest
    registry.store(manifest, made.parts)
    expected = registry.pointer(manifest.kind, manifest.place)
    return registry.point(manifest, expected=expected, released_at=datetime.now(UTC), status=status)


def settings(*, line: str = LINE, revision: int = 1, deadline_s: float = 0.0, sizes: str = "") -> LineChanged:
    """A line's settings."""
    return LineChanged(
        line=line,
        revision=revision,
        product=PRODUCT,
        false_reject_budget=0.05,
        shards=4,
        deadline_s=deadline_s,
        changed_at=datetime.now(UTC),
        sizes=sizes,
    )


def store_capture(
    blobs: Blobs, data: bytes, *, key: str, line: str = LINE, intent: Intent = Intent.INSPECT
) -> ImageStored:
    """Put an image where ingest would, and say so."""
    image_id: ImageId = image_id_of(data)
    now = datetime.now(UTC)
    where = image_key(line, now, image_id, "png")
    blobs.put(where, data)
    return ImageStored(
        capture_id=capture_id_of(line, image_id=image_id, idempotency_key=key),
        image_id=image_id,
        image_uri=blobs.uri(where),
        size_bytes=len(data),
        line=line,
        product=PRODUCT,
        line_revision=1,
        captured_at=now,
        received_at=now,
        intent=intent,
        serial=key,
    )


def image_message(event: ImageStored) -> Message:
    """As ingest publishes it."""
    key = record_key(event.line, event.capture_id, 4)
    return Message(topic="siad.image.v1", key=key, value=encode(event))
