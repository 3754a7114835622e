"""Schedule of kills: a pure function of a seed, so that a failure can be reproduced."""

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

STAGES: Final = ("ingest", "labeler", "trainer", "inference")
NODES: Final = ("broker", "store")  # they are away for a while
FIRST, LAST = 0.05, 0.85  # parts of the stream: it flows before the first blow, and has to flow on after the last
RESTART_S: Final = 1.0  # what a supervisor takes to see a death and start anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Length of the stream, and number of kills."""

    name: str
    captures: int
    per_s: float
    kills: int  # of each stage; the scorer and Ray's head are killed once
    outage_s: float  # of the broker and of the store, once each
    trains: bool  # a segmenter is trained and takes over meanwhile; without one the run has failed
    parts: int  # different parts in the stream; equal images count once in a training set
    early: int = 20  # captures from before the teacher, left to the backfill

    @property
    def stream_s(self) -> float:
        """Duration of the stream without interruptions."""
        return self.captures / self.per_s


SHORT: Final = Scale(name="short", captures=240, per_s=8.0, kills=1, outage_s=4.0, trains=False, parts=32)
LONG: Final = Scale(name="long", captures=2000, per_s=10.0, kills=2, outage_s=20.0, trains=True, parts=800)

# Streamed once the segmenter serves, so that the swap lies between two kills on a machine of any speed.
AFTER_SWAP: Final = replace(LONG, name="after the swap", captures=400, kills=1, outage_s=4.0)


@dataclass(frozen=True, slots=True)
class Blow:
    """One ``kill -9``, and the time until the restart."""

    at_s: float  # after the first capture was sent
    victim: str
    down_s: float

    def __str__(self) -> str:
        """Its line of the printed schedule."""
        return f"{self.at_s:6.1f} s  kill -9 {self.victim}, start it {self.down_s:g} s later"


def schedule(seed: int, scale: Scale) -> tuple[Blow, ...]:
    """Draw the schedule.

    A victim that is hit n times is hit once in each n-th of the stream, at a moment drawn evenly from it; different
    victims know nothing of each other, so that blows fall on what still limps from the last one.

    Args:
        seed: the same one gives the same blows.
        scale: how long the stream is, and how often each victim is hit.

    Returns:
        All blows, by time.
    """
    draw = random.Random(seed)
    hits = dict.fromkeys(STAGES, scale.kills) | dict.fromkeys(("scorer", "ray", *NODES), 1)
    blows = []
    for victim, count in hits.items():
        width = (LAST - FIRST) / count
        for number in range(count):
            part = FIRST + width * (number + draw.random())
            down_s = scale.outage_s if victim in NODES else RESTART_S
            blows.append(Blow(round(part * scale.stream_s, 1), victim, down_s))
    return tuple(sorted(blows, key=lambda blow: (blow.at_s, blow.victim)))


def told_seed(env: Mapping[str, str] = os.environ) -> int:
    """The seed of this run; SIAD_CHAOS_SEED sets another."""
    return int(env.get("SIAD_CHAOS_SEED", "1"))


def told_scale(env: Mapping[str, str] = os.environ) -> Scale:
    """Read the scale: SIAD_CHAOS=long for the long version, SIAD_CHAOS_CAPTURES and _PER_S for a slow machine."""
    scale = {"short": SHORT, "long": LONG}[env.get("SIAD_CHAOS", "short")]
    captures = int(env.get("SIAD_CHAOS_CAPTURES", scale.captures))
    return replace(scale, captures=captures, per_s=float(env.get("SIAD_CHAOS_PER_S", scale.per_s)))
