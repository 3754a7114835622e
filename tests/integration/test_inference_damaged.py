"""Damaged weights of many kinds are refused with a reason that says what to do, and those before them go on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.load import BundleLoader
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.weights_cache import WeightsCache
from services.inference.domain.releases import ReleasePointer
from siad.contracts.corrections import ThresholdSet
from siad.contracts.errors import OutOfMemoryError
from siad.contracts.ids import WeightsId
from siad.contracts.keys import manifest_key, part_key
from siad.contracts.manifest import Manifest, part_of
from siad.contracts.place import Place
from siad.models.bundle import GOLDEN, Bundle
from siad.models.predictor import Predictor
from siad.models.slots import Room
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.store.registry import Registry
from tests.synthetic import bundle, part_image

OLD, NEW, OTHER = bundle(seed=41), bundle(seed=42), bundle(seed=43)
MEMORY = "memory.safetensors"


@dataclass
class Shelf:
    """A store with the old weights, and the new ones with some damage."""

    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)

    def store(self, made: Bundle) -> WeightsId:
        return Registry(self.blobs).store(made.manifest, made.parts)

    def damage(self, key: str, change: Callable[[bytes], bytes]) -> None:
        self.blobs.put(key, change(self.blobs.get(key).data))


def changed(**fields: object) -> Bundle:
    """The new weights, consistent in themselves, with other fields in their manifest."""
    return Bundle(replace(NEW.manifest, **fields), NEW.parts)  # type: ignore[arg-type]


def with_part(name: str, data: bytes) -> Bundle:
    """The new weights, consistent in themselves, with another file."""
    others = tuple(part for part in NEW.manifest.parts if part.name != name)
    parts = tuple(sorted((*others, part_of(name, data)), key=lambda part: part.name))
    return Bundle(replace(NEW.manifest, parts=parts), {**NEW.parts, name: data})


def without_part(name: str) -> Bundle:
    """The new weights without a file, which their manifest does not name either."""
    parts = tuple(part for part in NEW.manifest.parts if part.name != name)
    return Bundle(replace(NEW.manifest, parts=parts), {one: NEW.parts[one] for one in NEW.parts if one != name})


def key_of_part(name: str) -> str:
    return part_key(NEW.manifest.part(name).sha256)


KEY = manifest_key(*NEW.manifest.place, NEW.manifest.weights)


def flip(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


STORED: dict[str, tuple[Callable[[Shelf], None], str]] = {
    "manifest missing": (lambda shelf: shelf.blobs.delete(KEY), "publish them again, or release others"),
    "manifest with one bit changed": (lambda shelf: shelf.damage(KEY, flip), "with SHA-256"),
    "manifest cut": (lambda shelf: shelf.damage(KEY, lambda data: data[:-1]), "with SHA-256"),
    "part missing": (lambda shelf: shelf.blobs.delete(key_of_part(MEMORY)), "publish them again, or release others"),
    "part with one bit changed": (lambda shelf: shelf.damage(key_of_part(MEMORY), flip), "with SHA-256"),
    "part cut": (lambda shelf: shelf.damage(key_of_part(MEMORY), lambda data: data[:-7]), "with SHA-256"),
    "part empty": (lambda shelf: shelf.damage(key_of_part(MEMORY), lambda _: b""), "0 bytes with SHA-256"),
    "part of other weights": (
        lambda shelf: shelf.damage(key_of_part(MEMORY), lambda _: OTHER.parts[MEMORY]),
        "with SHA-256",
    ),
}
MADE: dict[str, tuple[Bundle, str]] = {
    "another decoder": (changed(decoder_version=999), "refit them"),
    "another preprocessing": (changed(preprocess_version=999), "refit them"),
    "a method that does not exist": (changed(method="crystal-ball"), "no runner of this version knows"),
    "golden scores of other weights": (with_part(GOLDEN, OTHER.parts[GOLDEN]), "miss their golden scores"),
    "a memory of other weights": (with_part(MEMORY, OTHER.parts[MEMORY]), "miss their golden scores"),
    "a file that is none": (with_part(MEMORY, b"not safetensors"), "parts that this code can't use"),
    "no golden scores": (without_part(GOLDEN), "fit them again"),
}


class NoThresholds:
    """The port ``ThresholdLookup``: none was set."""

    def of(self, place: Place, weights: WeightsId) -> ThresholdSet | None:
        return None


def release_of(manifest: Manifest, weights: WeightsId, revision: int) -> ReleasePointer:
    return ReleasePointer(place=manifest.place, kind=manifest.kind, revision=revision, weights=weights)


async def refusal(shelf: Shelf, weights: WeightsId, cache: WeightsCache) -> tuple[str, str, str]:
    """Serve the old weights, release the others; return event and reason of the log, and what still judges."""
    old = shelf.store(OLD)
    loader = BundleLoader(Registry(shelf.blobs, cache=cache), runner="auto")

    def load(place: Place, wanted: WeightsId) -> Predictor:
        if wanted == "too-large":
            msg = "loading weights: 2 GB are not to be had"
            raise OutOfMemoryError(msg)
        return loader(place, wanted)

    with ThreadPoolExecutor(1) as scorer, ThreadPoolExecutor(1) as loading, capture_logs() as logs:
        predictors = HotSwapPredictors(
            load,
            NoThresholds(),
            threads=ServingThreads(scorer=scorer, loader=loading),
            limits=ServingLimits(room=Room(models_max=4), batch_max=4, batch_wait_s=0.0),
            clock=SYSTEM_CLOCK,
        )
        running = asyncio.create_task(predictors.run())
        try:
            predictors.on_release(release_of(OLD.manifest, old, 1))
            await predictors.prepare(OLD.manifest.place)
            predictors.on_release(release_of(OLD.manifest, weights, 2))
            async with asyncio.timeout(20):
                while not (told := [entry for entry in logs if entry.get("reason") and entry.get("revision") == 2]):
                    await asyncio.sleep(0.01)
            prediction = await predictors.predict(part_image(1), OLD.manifest.place)
        finally:
            running.cancel()
            await asyncio.wait([running])
    assert prediction is not None
    assert told[0]["still_serving"] == old
    return told[0]["event"], told[0]["reason"], prediction.release.weights


def assert_copies_are_intact(folder: Path) -> None:
    """Nothing damaged was copied to the disk."""
    cache = WeightsCache(folder, bytes_max=2**30)
    assert all(cache.read(path.name) is not None for path in folder.iterdir())


@pytest.mark.parametrize("kind", STORED)
async def test_weights_that_the_store_has_damaged(kind: str, tmp_path: Path) -> None:
    damage, words = STORED[kind]
    shelf = Shelf()
    weights = shelf.store(NEW)
    damage(shelf)
    event, reason, judged_by = await refusal(shelf, weights, WeightsCache(tmp_path, bytes_max=2**30))
    assert (event, judged_by) == ("weights_refused", OLD.manifest.weights)
    assert weights[:12] in reason
    assert words in reason
    assert_copies_are_intact(tmp_path)


@pytest.mark.parametrize("kind", MADE)
async def test_weights_that_were_made_wrong(kind: str, tmp_path: Path) -> None:
    made, words = MADE[kind]
    shelf = Shelf()
    event, reason, judged_by = await refusal(shelf, shelf.store(made), WeightsCache(tmp_path, bytes_max=2**30))
    assert (event, judged_by) == ("weights_refused", OLD.manifest.weights)
    assert words in reason


async def test_memory_that_runs_out_while_loading_refuses_nothing(tmp_path: Path) -> None:
    cache = WeightsCache(tmp_path, bytes_max=2**30)
    event, reason, judged_by = await refusal(Shelf(), WeightsId("too-large"), cache)
    assert (event, judged_by) == ("weights_not_loaded", OLD.manifest.weights)
    assert "2 GB" in reason
