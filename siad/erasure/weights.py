"""Weights that learned from captures to erase."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import structlog

from siad.contracts import keys
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.manifest import Manifest
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedWeights:
    """Weights that learned from some of the captures."""

    kind: WeightsKind
    line: str
    product: str
    weights: str
    captures: int | None  # of those to be forgotten; None: its training set no longer says
    is_serving: bool


def who_learned(blobs: Blobs, line: str, captures: Collection[str] | None) -> list[AffectedWeights]:
    """Weights of a line fitted or trained on one of the captures.

    Args:
        blobs: the store.
        line: whose weights.
        captures: None for all that the line ever sent.
    """
    serving = _serving(Registry(blobs), line)
    found = []
    for manifest in _manifests(blobs, line):
        learned = len(manifest.normals) if captures is None else len(set(manifest.normals) & set(captures))
        count: int | None = learned
        if manifest.training_set is not None:
            members = members_of(blobs, line, manifest.product, manifest.training_set)
            count = None if members is None else len(members if captures is None else members & set(captures))
        if count != 0:
            found.append(
                AffectedWeights(
                    kind=manifest.kind,
                    line=line,
                    product=manifest.product,
                    weights=manifest.weights,
                    captures=count,
                    is_serving=manifest.weights in serving,
                )
            )
    return found


def members_of(blobs: Blobs, line: str, product: str, digest: str) -> set[str] | None:
    """Captures of a training set; None if its list is missing."""
    key = keys.training_set_members_key(line, product, digest)
    try:
        return set(TrainingSetMembers.from_json(blobs.get(key).data).captures)
    except MissingError:
        return None
    except CorruptError as error:
        log.error("members_unreadable", key=key, reason=str(error))
        return None


def _manifests(blobs: Blobs, line: str) -> Iterator[Manifest]:
    for info in blobs.list(keys.manifests_prefix(line)):
        try:
            yield Manifest.from_json(blobs.get(info.key).data)
        except (MissingError, CorruptError) as error:
            log.error("manifest_left_out", key=info.key, reason=str(error))


def _serving(registry: Registry, line: str) -> set[str]:
    pointers = [pointer for kind in (WeightsKind.TEACHER, WeightsKind.SEGMENTER) for pointer in registry.pointers(kind)]
    return {one.weights for one in pointers if one.line == line and one.status is SegmenterStatus.SERVING}
