"""Releases: what every store must hold to."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.keys import manifest_key, part_key, weights_pointer_key
from siad.contracts.manifest import Manifest, part_of
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob, BlobInfo, Blobs
from siad.runtime.store.registry import HISTORY_MAX, Registry
from tests.manifests import make_manifest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Place("line-1", "cap")
PARTS = {"backbone": b"shared by all", "bank": b"of this line"}


def manifest_of(
    parts: Mapping[str, bytes], *, kind: WeightsKind = WeightsKind.TEACHER, threshold: float = 1.0
) -> Manifest:
    return make_manifest(
        kind=kind,
        line="line-1",
        product="cap",
        parts=tuple(part_of(name, data) for name, data in sorted(parts.items())),
        image_threshold=threshold,
        metrics=(("fit_s", 1.0),),
        normals=("a" * 32,),
    )


def release(
    registry: Registry, manifest: Manifest, expected: Pointer | None, parts: Mapping[str, bytes] = PARTS
) -> Pointer:
    registry.store(manifest, parts)
    return registry.point(manifest, expected=expected, released_at=NOW)


def test_a_release_is_read_back_whole(blobs: Blobs) -> None:
    registry, manifest = Registry(blobs), manifest_of(PARTS)
    pointer = release(registry, manifest, None)
    assert (pointer.revision, pointer.weights, pointer.history) == (1, manifest.weights, ())
    assert registry.pointer(WeightsKind.TEACHER, PLACE) == pointer
    assert registry.manifest(PLACE, pointer.weights) == manifest
    assert registry.parts(manifest) == PARTS


def test_before_the_first_release_there_is_no_pointer(blobs: Blobs) -> None:
    assert Registry(blobs).pointer(WeightsKind.TEACHER, PLACE) is None
    assert Registry(blobs).pointers(WeightsKind.TEACHER) == []


def test_rolling_back_is_a_new_revision_that_names_old_weights(blobs: Blobs) -> None:
    registry = Registry(blobs)
    old, new = manifest_of(PARTS), manifest_of(PARTS, threshold=2.0)
    first = release(registry, old, None)
    second = release(registry, new, first)
    back = registry.point(old, expected=second, released_at=NOW)
    assert (back.revision, back.weights) == (3, old.weights)
    assert back.history == (new.weights, old.weights)


def test_a_segmenter_can_be_withdrawn(blobs: Blobs) -> None:
    registry, manifest = Registry(blobs), manifest_of(PARTS, kind=WeightsKind.SEGMENTER)
    first = release(registry, manifest, None)
    registry.point(manifest, expected=first, released_at=NOW, status=SegmenterStatus.WITHDRAWN)
    (found,) = registry.pointers(WeightsKind.SEGMENTER)
    assert (found.status, found.revision) == (SegmenterStatus.WITHDRAWN, 2)


def test_nothing_may_point_at_weights_that_were_never_stored(blobs: Blobs) -> None:
    with pytest.raises(MissingError, match="Store the bundle first"):
        Registry(blobs).point(manifest_of(PARTS), expected=None, released_at=NOW)
    assert Registry(blobs).pointer(WeightsKind.TEACHER, PLACE) is None


def test_parts_that_are_not_the_manifests_are_refused(blobs: Blobs) -> None:
    for parts in ({**PARTS, "bank": b"other"}, {"backbone": PARTS["backbone"]}):
        with pytest.raises(CorruptError, match="part bank is"):
            Registry(blobs).store(manifest_of(PARTS), parts)
    assert blobs.head(manifest_key("line-1", "cap", manifest_of(PARTS).weights)) is None


def test_a_tampered_part_or_manifest_is_not_loaded(blobs: Blobs) -> None:
    registry, manifest = Registry(blobs), manifest_of(PARTS)
    pointer = release(registry, manifest, None)
    blobs.put(part_key(manifest.part("bank").sha256), b"evil twin...")
    with pytest.raises(CorruptError, match="expected"):
        registry.parts(manifest)
    blobs.put(manifest_key("line-1", "cap", pointer.weights), replace(manifest, image_threshold=9.0).to_json())
    with pytest.raises(CorruptError, match="expected"):
        registry.manifest(PLACE, pointer.weights)


def test_a_torn_pointer_is_named(blobs: Blobs) -> None:
    blobs.put(weights_pointer_key("teacher", "line-1", "cap"), b'{"kind": "teacher"}')
    with pytest.raises(CorruptError, match="is not a pointer"):
        Registry(blobs).pointer(WeightsKind.TEACHER, PLACE)


def test_a_damaged_part_is_healed_by_the_next_release_that_holds_it(blobs: Blobs) -> None:
    registry, manifest = Registry(blobs), manifest_of(PARTS)
    registry.store(manifest, PARTS)
    key = part_key(manifest.part("bank").sha256)
    blobs.put(key, bytes(len(PARTS["bank"])))  # as long as it should be
    registry.store(manifest, PARTS)
    assert registry.parts(manifest) == PARTS


def test_a_pointer_of_another_line_is_not_followed(blobs: Blobs) -> None:
    registry = Registry(blobs)
    release(registry, manifest_of(PARTS), None)
    copied = blobs.get(weights_pointer_key("teacher", "line-1", "cap")).data
    blobs.put(weights_pointer_key("teacher", "line-2", "cap"), copied)
    with pytest.raises(
        CorruptError, match=r"is the teacher pointer of line-1/cap; the line keeps the weights that serve it"
    ):
        registry.pointer(WeightsKind.TEACHER, Place("line-2", "cap"))


def test_one_torn_pointer_hides_no_other(blobs: Blobs) -> None:
    registry = Registry(blobs)
    whole = release(registry, manifest_of(PARTS), None)
    blobs.put(weights_pointer_key("teacher", "line-0", "cap"), b"{")
    blobs.put(weights_pointer_key("segmenter", "line-1", "cap"), b"another kind's")
    assert registry.pointers(WeightsKind.TEACHER) == [whole]


def test_a_pointer_remembers_its_last_moves_and_no_more() -> None:
    blobs = MemoryBlobs()
    registry = Registry(blobs)
    manifests = [manifest_of(PARTS, threshold=float(number)) for number in range(HISTORY_MAX + 2)]
    pointer: Pointer | None = None
    for manifest in manifests:
        blobs.put(manifest_key("line-1", "cap", manifest.weights), manifest.to_json())
        pointer = registry.point(manifest, expected=pointer, released_at=NOW)
    assert pointer is not None
    assert pointer.revision == HISTORY_MAX + 2
    assert pointer.history == tuple(manifest.weights for manifest in manifests[-2:0:-1])


def test_who_saw_an_old_pointer_moves_nothing(blobs: Blobs) -> None:
    registry = Registry(blobs)
    old, new = manifest_of(PARTS), manifest_of(PARTS, threshold=2.0)
    first = release(registry, old, None)
    second = release(registry, new, first)
    for expected in (None, first):
        with pytest.raises(ConflictError):
            registry.point(old, expected=expected, released_at=NOW)
    assert registry.pointer(WeightsKind.TEACHER, PLACE) == second


def test_racing_releases_leave_one_winner_and_no_torn_state(blobs: Blobs) -> None:
    """Two release something new, one rolls back to what served before; the history is the list of winners."""
    registry, won, seen = Registry(blobs), list[str](), None
    for round_ in range(60 if isinstance(blobs, MemoryBlobs) else 8):
        racers = [manifest_of(PARTS, threshold=round_ + racer / 10) for racer in (1, 2)]
        if won:
            racers.append(registry.manifest(PLACE, won[0]))

        def race(manifest: Manifest, seen: Pointer | None = seen) -> Pointer | None:
            try:
                return release(registry, manifest, seen)
            except ConflictError:
                return None

        with ThreadPoolExecutor(len(racers)) as pool:
            watched = pool.submit(serving_whole, registry, round_)
            winners = [pointer for pointer in pool.map(race, racers) if pointer is not None]
            watched.result()
        assert len(winners) == 1
        seen = registry.pointer(WeightsKind.TEACHER, PLACE)
        assert seen == winners[0]
        assert seen.revision == round_ + 1
        assert seen.history == tuple(reversed(won))[:HISTORY_MAX]
        won.append(seen.weights)
    assert len(set(won)) > 1


def serving_whole(registry: Registry, round_: int) -> None:
    """A reader meanwhile finds the old pointer or the new, and all that it names."""
    pointer = registry.pointer(WeightsKind.TEACHER, PLACE)
    if pointer is None:
        assert round_ == 0
        return
    assert pointer.revision in {round_, round_ + 1}
    assert registry.parts(registry.manifest(PLACE, pointer.weights)) == PARTS


class PowerCutError(Exception):
    """The process died here."""


@dataclass
class Mortal:
    """A store whose caller dies at its n-th write, before or after it took effect."""

    blobs: Blobs
    writes_left: int
    dies_after: bool

    def put(self, key: str, data: bytes, **how: object) -> str:
        if self.writes_left == 0 and not self.dies_after:
            raise PowerCutError
        etag = self.blobs.put(key, data, **how)  # type: ignore[arg-type]
        if self.writes_left == 0:
            raise PowerCutError
        self.writes_left -= 1
        return etag

    def get(self, key: str) -> Blob:
        return self.blobs.get(key)

    def head(self, key: str) -> BlobInfo | None:
        return self.blobs.head(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[BlobInfo]:
        return self.blobs.list(prefix, start_after=start_after)

    def uri(self, key: str) -> str:
        return self.blobs.uri(key)

    def key_of(self, uri: str) -> str:
        return self.blobs.key_of(uri)

    def delete(self, key: str) -> None:
        self.blobs.delete(key)

    def probe(self) -> None:
        self.blobs.probe()


@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("write", range(4))  # backbone, bank, manifest, pointer
def test_a_crash_at_any_write_leaves_what_served_and_a_repeat_heals(
    blobs: Blobs, write: int, *, dies_after: bool
) -> None:
    old_parts = {"bank": b"old"}
    first = release(Registry(blobs), manifest_of(old_parts), None, old_parts)
    new = manifest_of(PARTS, threshold=2.0)
    with pytest.raises(PowerCutError):
        release(Registry(Mortal(blobs, write, dies_after)), new, first)
    registry = Registry(blobs)
    if blobs.head(manifest_key("line-1", "cap", new.weights)) is not None:
        assert registry.parts(new) == PARTS  # who finds a manifest finds what it names
    serving = registry.pointer(WeightsKind.TEACHER, PLACE)
    assert serving is not None
    assert registry.parts(registry.manifest(PLACE, serving.weights)) in (old_parts, PARTS)
    if serving.weights != new.weights:  # else the crash came after the last write, and only the event is missing
        healed = release(registry, new, serving)
        assert (healed.revision, healed.weights) == (2, new.weights)


def test_a_part_that_is_there_is_not_sent_again(blobs: Blobs) -> None:
    Registry(blobs).store(manifest_of(PARTS), PARTS)
    counted = Mortal(blobs, writes_left=1, dies_after=False)  # the manifest alone may be written
    Registry(counted).store(manifest_of(PARTS, threshold=3.0), PARTS)
    assert counted.writes_left == 0


@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("write", range(4))
def test_a_crash_in_the_first_release_of_all_points_at_nothing_that_is_missing(write: int, *, dies_after: bool) -> None:
    blobs, manifest = MemoryBlobs(), manifest_of(PARTS)
    with pytest.raises(PowerCutError):
        release(Registry(Mortal(blobs, write, dies_after)), manifest, None)
    registry = Registry(blobs)
    pointer = registry.pointer(WeightsKind.TEACHER, PLACE)
    assert (pointer is not None) == (write == 3 and dies_after)
    if pointer is None:
        pointer = release(registry, manifest, None)
    assert registry.parts(registry.manifest(PLACE, pointer.weights)) == PARTS
