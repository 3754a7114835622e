"""Port of the learners: what a job needs of a method.

A learner prepares its examples once, trains an epoch at a time, and gives the network with everything that its bundle
needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from services.trainer.domain.training_set import TrainingSet
from services.trainer.job.evaluation import ScoreImages, make_scorer
from services.trainer.job.examples import ReadMembers
from siad.contracts.manifest import Manifest
from siad.contracts.training_runs import RunSpec
from siad.models.bundle import Bundle
from siad.models.detector import Detector
from siad.models.training.descent import DecoderTraining
from siad.vision.region import RegionOfInterest

CANDIDATE: Final = "candidate"
TEACHER: Final = "teacher"  # whose thresholds are carried over


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerSources:
    """What learners read beside the members for training."""

    teacher: Callable[[], Bundle]  # called only by methods that build on it
    slow: Callable[[], Bundle]  # weights whose map a fast segmenter learns; called by it alone
    read: ReadMembers  # members as inputs: of the full range, and cut to the region


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """A network, with what its bundle needs."""

    method: str
    detector: Detector  # as it will serve
    parts: Mapping[str, bytes]  # the files that its ``load`` needs, by name
    teacher: Manifest | None = None  # whose thresholds are carried over; None: it gets thresholds of its own
    distilled: str = ""  # weights whose map it learned, where they are not the teacher's


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """A network trained alike without some answers."""

    detector: Detector
    left_out: frozenset[str]  # ids of their captures


class Learner(Protocol):
    """Trains a segmenter of one method."""

    @property
    def training(self) -> DecoderTraining:
        """Progress, and the state for checkpoints."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether the training has ended."""
        ...

    def prepare(self, training_set: TrainingSet, read: ReadMembers) -> int:
        """Make the examples, and count them.

        Raises:
            UnreadableTrainingSetError: no member can be read.
        """
        ...

    def run_epoch(self) -> float:
        """Train for one epoch; returns the mean loss."""
        ...

    def network(self) -> TrainedNetwork:
        """Return the network as it is now."""
        ...

    def cross_fit(self, folds: Sequence[frozenset[str]]) -> list[CrossFit]:
        """Train again from the start, without each fold of answers in turn.

        Methods that can't do it cheaply give none. Every worker of the training must call it.
        """
        ...

    def scorers(self, spec: RunSpec) -> dict[str, ScoreImages]:
        """Make functions that score held-out captures, by name.

        One is ``CANDIDATE``; one is ``TEACHER`` where the network has the scale of its teacher.
        """
        ...


def scorer_of(detector: Detector, spec: RunSpec) -> ScoreImages:
    """Score with a network as the run's images need it."""
    return make_scorer(detector, input_px=spec.input_px, region=RegionOfInterest(spec.region), bits=spec.bits)
