"""Every topic once: who writes it, who reads it."""

from dataclasses import dataclass
from typing import Final, Literal

STAGES: Final = ("ingest", "labeler", "console", "trainer", "inference")  # left to right, never back


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic and the stages at its two ends."""

    name: str
    kind: Literal["work", "state", "dead-letter"]  # shared out to a group, read whole by everyone, or kept for people
    writer: str
    readers: tuple[str, ...]  # act on it; must stand to the right of the writer, or be the writer
    viewers: tuple[str, ...] = ()  # only show it; may stand anywhere
    feedback: bool = False  # leads back, on purpose; only a person's word and the shadow report may


# Ingest keeps the capture ledger, so it views images, verdicts and the dead letters of inference.
LINE: Final = Topic("siad.line.v1", "state", "ingest", ("ingest", "labeler", "trainer", "inference"))
IMAGE: Final = Topic("siad.image.v1", "work", "ingest", ("labeler", "inference"), viewers=("ingest",))
PSEUDO_MASK: Final = Topic("siad.pseudo-mask.v1", "work", "labeler", ("trainer",))
TEACHER: Final = Topic("siad.teacher.v1", "state", "labeler", ("labeler", "trainer", "inference"))
SEGMENTER: Final = Topic("siad.segmenter.v1", "state", "trainer", ("trainer", "inference"))
VERDICT: Final = Topic("siad.verdict.v1", "work", "inference", (), viewers=("ingest",))


def dead_letter(stage: str) -> Topic:
    """Where a stage buries what it can never handle."""
    viewers = ("ingest",) if stage == "inference" else ()  # the capture ledger
    return Topic(f"siad.{stage}.dead-letter.v1", "dead-letter", stage, (), viewers)


def retry(stage: str) -> Topic:
    """What an operator sends again of a stage's dead letters, in its name, for that stage alone."""
    return Topic(f"siad.{stage}.retry.v1", "work", stage, (stage,))


TOPICS: Final = (
    LINE,
    IMAGE,
    PSEUDO_MASK,
    TEACHER,
    SEGMENTER,
    VERDICT,
    dead_letter("labeler"),
    dead_letter("trainer"),
    dead_letter("inference"),
    retry("labeler"),
    retry("trainer"),
    retry("inference"),
)
