"""Split between training and evaluation: related captures stay on one side. Pure.

The hash of a name fixes the side of a capture for ever. Captures with one serial have one name. Near-duplicates have
hashes that differ in few bits; where such a pair is on both sides, one of the two is left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from siad.contracts.ids import sha256_hex

# Captures of one serial; more are no views of one part, but a sender that states the same serial for all.
PART_CAPTURES_MAX: Final = 20
# Bits of ``siad.vision.image_hash`` that differ. On four real sets compression, noise and brightness change 0 to 3 as a
# rule; of the pairs of different parts fewer than one in a hundred differ in so few.
NEAR_BITS_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSubject:
    """One capture, with what relates it to others."""

    capture_id: str
    serial: str  # empty: unknown
    image_hash: str  # empty: unknown
    is_held_out: bool
    rank: int  # of two that exclude each other the higher rank stays


def fraction_of(name: str) -> float:
    """Hash a name to 0..1."""
    return int(sha256_hex(name.encode())[:8], 16) / 2**32


def split_names(serials: Mapping[str, str]) -> dict[str, str]:
    """Name each capture for the split: by its serial, else by itself.

    Args:
        serials: by capture id; empty where unknown.
    """
    counts = Counter(serial for serial in serials.values() if serial)
    return {
        capture: serial if 0 < counts[serial] <= PART_CAPTURES_MAX else capture for capture, serial in serials.items()
    }


def leave_out(subjects: Sequence[SplitSubject]) -> set[str]:
    """Choose captures to leave out, so that no relation crosses the split.

    Of a pair on both sides the lower rank is left out, and of equal ranks the one for training.
    """
    names = split_names({subject.capture_id: subject.serial for subject in subjects})
    training = [subject for subject in subjects if not subject.is_held_out]
    held_out = [subject for subject in subjects if subject.is_held_out]
    gone: set[str] = set()
    for one, other in (*_same_part(training, held_out, names), *_near(training, held_out)):
        if {one.capture_id, other.capture_id} & gone:
            continue
        gone.add(other.capture_id if one.rank > other.rank else one.capture_id)
    return gone


Pairs = Iterable[tuple[SplitSubject, SplitSubject]]


def _same_part(training: Sequence[SplitSubject], held_out: Sequence[SplitSubject], names: Mapping[str, str]) -> Pairs:
    parts: dict[str, list[SplitSubject]] = defaultdict(list)
    for subject in held_out:
        parts[names[subject.capture_id]].append(subject)
    return ((one, other) for one in training for other in parts.get(names[one.capture_id], ()))


def _near(training: Sequence[SplitSubject], held_out: Sequence[SplitSubject]) -> Pairs:
    """Pair captures whose hashes differ in few bits."""
    hashed = [(subject, int(subject.image_hash, 16)) for subject in held_out if subject.image_hash]
    for one in training:
        if one.image_hash:
            bits = int(one.image_hash, 16)
            yield from ((one, other) for other, others in hashed if (bits ^ others).bit_count() <= NEAR_BITS_MAX)
