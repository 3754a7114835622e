"""Topics: their names, writers and readers."""

from dataclasses import dataclass
from typing import Final, Literal

STAGES: Final = ("ingest", "labeler", "console", "trainer", "inference")  # events flow from left to right


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, its writer and its readers."""

    name: str
    kind: Literal[
        "work", "state", "dead-letter"
    ]  # shared among a group, read whole by each process, kept for operators
    writer: str
    readers: tuple[str, ...]  # stages that act on it: to the right of the writer, or the writer
    viewers: tuple[str, ...] = ()  # stages that only display or count it
    feedback: bool = False  # leads to the left; allowed for what people decide, for shadow reports, and for doubt


# Ingest keeps the capture ledger, so it views images, verdicts and the dead letters of inference. The console shows
# captures to people, so it views pseudo-masks and verdicts, and what other consoles publish. While a segmenter serves,
# the labeler labels what that doubts.
LINE: Final = Topic("siad.line.v1", "state", "ingest", ("ingest", "labeler", "console", "trainer", "inference"))
IMAGE: Final = Topic("siad.image.v1", "work", "ingest", ("labeler", "inference"), viewers=("ingest",))
PSEUDO_MASK: Final = Topic("siad.pseudo-mask.v1", "work", "labeler", ("trainer",), viewers=("console",))
TEACHER: Final = Topic("siad.teacher.v1", "state", "labeler", ("labeler", "trainer", "inference"))
SEGMENTER: Final = Topic("siad.segmenter.v1", "state", "trainer", ("labeler", "trainer", "inference"), feedback=True)
VERDICT: Final = Topic(
    "siad.verdict.v1", "work", "inference", ("labeler",), viewers=("ingest", "console"), feedback=True
)
CORRECTION: Final = Topic("siad.correction.v1", "work", "console", ("trainer",), viewers=("console",))
THRESHOLD: Final = Topic(
    "siad.threshold.v1", "state", "console", ("labeler", "inference"), viewers=("console",), feedback=True
)
COMMAND: Final = Topic("siad.command.v1", "work", "console", ("labeler", "trainer"), feedback=True)

TRIAL: Final = Topic("siad.trial.v1", "state", "trainer", ("inference",))
SHADOW: Final = Topic("siad.shadow.v1", "work", "inference", ("trainer",), feedback=True)


def dead_letter(stage: str) -> Topic:
    """Return the topic of the records that a stage can never handle."""
    viewers = ("ingest",) if stage == "inference" else ()  # the capture ledger
    return Topic(f"siad.{stage}.dead-letter.v1", "dead-letter", stage, (), viewers)


def retry(stage: str) -> Topic:
    """Return the topic of dead letters that operators send again."""
    return Topic(f"siad.{stage}.retry.v1", "work", stage, (stage,))


TOPICS: Final = (
    LINE,
    IMAGE,
    PSEUDO_MASK,
    TEACHER,
    SEGMENTER,
    VERDICT,
    CORRECTION,
    THRESHOLD,
    COMMAND,
    TRIAL,
    SHADOW,
    dead_letter("labeler"),
    dead_letter("trainer"),
    dead_letter("inference"),
    retry("labeler"),
    retry("trainer"),
    retry("inference"),
)
