"""Weights that were trained on captures to erase."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

import structlog

from siad.contracts import keys
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.json_codec import JsonRecord
from siad.contracts.manifest import Manifest
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry

log = structlog.get_logger()

R = TypeVar("R", bound=JsonRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedWeights:
    """Weights that were trained on some of the captures."""

    kind: WeightsKind
    line: str
    product: str
    weights: str
    captures: int | None  # how many of them; None: the list of its training set is missing
    is_serving: bool


def find_affected_weights(blobs: Blobs, line: str, captures: Collection[str] | None) -> list[AffectedWeights]:
    """List the weights of a line trained on one of the captures.

    Args:
        blobs: the store.
        line: of the weights.
        captures: to erase; None for all that the line ever sent.
    """
    serving = _serving(Registry(blobs), line)
    found = []
    for manifest in read_manifests(blobs, line):
        count = _count(blobs, manifest, captures)
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


def captures_of_training_set(blobs: Blobs, line: str, product: str, digest: str) -> set[str] | None:
    """Read the captures of a training set; None without a readable list."""
    members = read_record(blobs, TrainingSetMembers, keys.training_set_members_key(line, product, digest))
    return None if members is None else set(members.captures)


def read_record(blobs: Blobs, kind: type[R], key: str) -> R | None:
    """Read a JSON record; None for a missing or damaged one."""
    try:
        return kind.from_json(blobs.get(key).data)
    except MissingError:
        return None
    except CorruptError as error:
        log.error("record_left_out", key=key, reason=str(error))
        return None


def _count(blobs: Blobs, manifest: Manifest, captures: Collection[str] | None) -> int | None:
    """Count the captures that the weights were trained on; None if unknown."""
    used = {*manifest.normals, *manifest.stream_normals}  # of a residual segmenter those of its teacher's memory
    if manifest.training_set is not None:
        trained = captures_of_training_set(blobs, manifest.line, manifest.product, manifest.training_set)
        if trained is None:
            return None
        used |= trained
    return len(used if captures is None else used & set(captures))


def read_manifests(blobs: Blobs, line: str) -> Iterator[Manifest]:
    """Read all manifests of a line; log and omit unreadable ones."""
    for info in blobs.list(keys.manifests_prefix(line)):
        try:
            yield Manifest.from_json(blobs.get(info.key).data)
        except (MissingError, CorruptError) as error:
            log.error("manifest_left_out", key=info.key, reason=str(error))


def _serving(registry: Registry, line: str) -> set[str]:
    kinds = (WeightsKind.TEACHER, WeightsKind.SEGMENTER)
    pointers = [pointer for kind in kinds for pointer in registry.pointers(kind) if pointer.line == line]
    return {pointer.weights for pointer in pointers if pointer.status is SegmenterStatus.SERVING}
