"""Lineage of weights: what they learned from, and what descends from it.

Read from manifests, member lists of training sets, pointers and records of fits; no image and no Parquet is read.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.key_parts import place_in
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import NOTHING, QuarantineIndex, correction_name
from siad.contracts.refits import RefitRecord
from siad.erasure.weights import read_manifests, read_record
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry

log = structlog.get_logger()

KINDS: Final = (WeightsKind.TEACHER, WeightsKind.SEGMENTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsLineage:
    """What one set of weights learned from."""

    weights: str
    kind: WeightsKind
    line: str
    product: str
    method: str
    state: str  # serving, served before, or never released
    training_set: str  # digest; empty for a teacher
    teachers: tuple[str, ...]  # whose pseudo-masks or scores it learned from
    normals: tuple[str, ...]  # captures sent or confirmed as good that a teacher was fitted on
    captures: tuple[str, ...]  # captures of the training set, or of the stream that a teacher was fitted on
    corrections: tuple[str, ...]  # as ``siad.contracts.quarantine`` names them
    in_quarantine: bool

    @property
    def learned(self) -> frozenset[str]:
        """Every capture that it learned from."""
        return frozenset((*self.normals, *self.captures))


@dataclass(slots=True)
class LineLineage:
    """All weights of a line."""

    line: str
    weights: dict[str, WeightsLineage] = field(default_factory=dict)  # by name
    pointers: dict[tuple[WeightsKind, str], Pointer] = field(default_factory=dict)  # by kind and product
    quarantine: QuarantineIndex = NOTHING
    corrections: Mapping[str, list[str]] = field(default_factory=dict)  # names, by capture

    def descendants(
        self,
        *,
        weights: Collection[str] = (),
        captures: Collection[str] = (),
        corrections: Collection[str] = (),
    ) -> list[WeightsLineage]:
        """List the weights that learned from these, also through others."""
        found: dict[str, WeightsLineage] = {}
        grown = True
        while grown:
            grown = False
            roots = {*weights, *found}
            for one in self.weights.values():
                if one.weights in found or one.weights in weights:
                    continue
                if roots & {*one.teachers} or one.learned & {*captures} or {*corrections} & {*one.corrections}:
                    found[one.weights] = one
                    grown = True
        return [found[name] for name in sorted(found)]


def read_lineage(blobs: Blobs, line: str) -> LineLineage:
    """Read the lineage of a line; log and omit unreadable weights.

    Raises:
        TransientError: the store is unavailable.
    """
    registry = Registry(blobs)
    found = LineLineage(line=line, quarantine=Quarantine(blobs).read(line), corrections=_corrections(blobs, line))
    for kind in KINDS:
        for pointer in registry.pointers(kind):
            if pointer.line == line:
                found.pointers[kind, pointer.product] = pointer
    for manifest in read_manifests(blobs, line):
        found.weights[manifest.weights] = _lineage_of(blobs, manifest, found)
    return found


def find_weights(blobs: Blobs, prefix: str, *, line: str | None = None) -> list[tuple[Place, str]]:
    """Find weights by the beginning of their name."""
    lines = [line] if line else [keys.name_of(info.key) for info in blobs.list(keys.line_pointers_prefix())]
    found = []
    for name in lines:
        for info in blobs.list(keys.manifests_prefix(name)):
            weights = keys.name_of(info.key)
            if weights.startswith(prefix):
                found.append((place_in(info.key), weights))
    return found


def _lineage_of(blobs: Blobs, manifest: Manifest, line: LineLineage) -> WeightsLineage:
    members = TrainingSetMembers(captures=())
    if manifest.training_set is not None:
        key = keys.training_set_members_key(manifest.line, manifest.product, manifest.training_set)
        members = read_record(blobs, TrainingSetMembers, key) or members
    teachers = {*members.teachers, *(name for name in (manifest.parent, manifest.distilled) if name)}
    if manifest.stream_normals:
        teachers |= _served_at_fit(blobs, manifest)
    learned = manifest.normals if manifest.kind is WeightsKind.TEACHER else ()
    confirmed = [name for capture in (*learned, *manifest.stream_normals) for name in line.corrections.get(capture, ())]
    return WeightsLineage(
        weights=manifest.weights,
        kind=manifest.kind,
        line=manifest.line,
        product=manifest.product,
        method=manifest.method,
        state=_state(line.pointers.get((manifest.kind, manifest.product)), manifest.weights),
        training_set=manifest.training_set or "",
        teachers=tuple(sorted(teachers)),
        normals=tuple(learned),
        captures=tuple(members.captures) or manifest.stream_normals,
        corrections=tuple(sorted({*members.corrections, *confirmed})),
        in_quarantine=manifest.weights in line.quarantine.weights,
    )


def _state(pointer: Pointer | None, weights: str) -> str:
    if pointer is None or weights not in (pointer.weights, *pointer.history):
        return "never released"
    is_serving = weights == pointer.weights and pointer.status is SegmenterStatus.SERVING
    return "serving" if is_serving else "served before"


def _served_at_fit(blobs: Blobs, manifest: Manifest) -> set[str]:
    """Weights whose scores chose the captures of the stream."""
    prefix = keys.refits_prefix(manifest.line, manifest.product)
    records = (read_record(blobs, RefitRecord, info.key) for info in blobs.list(prefix))
    return {one.serving for one in records if one is not None and one.weights == manifest.weights and one.serving}


def _corrections(blobs: Blobs, line: str) -> dict[str, list[str]]:
    """Names of all corrections of a line, by capture."""
    found: dict[str, list[str]] = defaultdict(list)
    for info in blobs.list(keys.corrections_prefix(line)):
        named = keys.correction_of(info.key)
        if named is not None:
            _, capture_id, revision = named
            found[capture_id].append(correction_name(capture_id, revision))
    return found
