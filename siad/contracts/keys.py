"""Where everything lies in the store: every key of the bucket is made here. Pure.

One function a kind of object, so that no stage spells a path of its own.
"""

from datetime import UTC, datetime
from typing import Final

CONDITIONAL_PUT_KEY: Final = "probes/conditional-put"  # written once a bucket, to see that conditions are held


def image_key(line: str, received_at: datetime, image_id: str, extension: str) -> str:
    """The bytes of an image, as they came; ``received_at`` is the first one, its date in UTC."""
    return f"images/{line}/{received_at.astimezone(UTC):%Y-%m-%d}/{image_id}.{extension}"


def capture_key(line: str, capture_id: str) -> str:
    """The write-once receipt of a capture."""
    return f"captures/{line}/{capture_id}.json"


def captures_prefix(line: str) -> str:
    """All receipts of a line."""
    return f"captures/{line}/"


def normal_key(line: str, product: str, capture_id: str) -> str:
    """The write-once word that a capture is good."""
    return f"normals/{line}/{product}/{capture_id}.json"


def normals_prefix(line: str, product: str) -> str:
    """All normals of a line and product."""
    return f"normals/{line}/{product}/"


def mask_key(line: str, capture_id: str, weights: str) -> str:
    """A mask that some weights drew: uint8 [H, W], 0 good, 255 defect, at image size."""
    return f"masks/{line}/{capture_id}/{weights}.png"


def ledger_key(line: str, product: str, topic: str, partition: int, first: int, last: int) -> str:
    """Rows that the trainer took in from one partition, offsets ``first`` to ``last``."""
    return f"{ledger_prefix(line, product)}{topic}-{partition}-{first}-{last}.parquet"


def ledger_prefix(line: str, product: str) -> str:
    """All rows taken in for a line and product."""
    return f"ledger/{line}/{product}/"


def training_set_key(line: str, product: str, digest: str) -> str:
    """A frozen training set."""
    return f"training-sets/{line}/{product}/{digest}.parquet"


def part_key(sha256: str) -> str:
    """One file of bundles, stored once."""
    return f"parts/{sha256}"


def manifest_key(line: str, product: str, weights: str) -> str:
    """The manifest of some weights."""
    return f"weights/{line}/{product}/{weights}.json"


def checkpoints_prefix(run: str) -> str:
    """Ray Train's own; written through pyarrow's S3 file system."""
    return f"checkpoints/{run}"


def runs_prefix(line: str, product: str) -> str:
    """All training runs of a line and product: ``checkpoints/<line>.<product>.<number>/...``."""
    return f"checkpoints/{line}.{product}."


def run_spec_key(run: str) -> str:
    """What a training run is to do, write-once."""
    return f"{checkpoints_prefix(run)}/spec.json"


def run_attempt_key(run: str, number: int) -> str:
    """That the run's job was started for the ``number``-th time, write-once."""
    return f"{checkpoints_prefix(run)}/attempts/{number:04d}.json"


def run_report_key(run: str) -> str:
    """What the run's job brought, write-once."""
    return f"{checkpoints_prefix(run)}/report.json"


def run_judgement_key(run: str) -> str:
    """What was decided about the run, write-once."""
    return f"{checkpoints_prefix(run)}/judgement.json"


def line_revision_key(line: str, revision: int) -> str:
    """One revision of a line's settings, write-once."""
    return f"lines/{line}/{revision}.json"


def line_pointer_key(line: str) -> str:
    """The settings of a line as they now stand."""
    return f"pointers/lines/{line}.json"


def weights_pointer_key(kind: str, line: str, product: str) -> str:
    """Which weights of a kind (teacher, segmenter) a line and product have now."""
    return f"pointers/{kind}/{line}/{product}.json"


def weights_pointers_prefix(kind: str) -> str:
    """All pointers of one kind of weights."""
    return f"pointers/{kind}/"


def lease_key(name: str) -> str:
    """Who does some work now, until when."""
    return f"pointers/leases/{name}.json"


def backfill_key(line: str, product: str) -> str:
    """The mark that what came before the first teacher was labelled."""
    return f"backfills/{line}/{product}.json"


def letter_mark_key(stage: str, topic: str, partition: int, offset: int) -> str:
    """What was done about a dead letter of a stage; the place is where its record lay before it was buried."""
    return f"{letter_marks_prefix(stage)}{topic}-{partition}-{offset}.json"


def letter_marks_prefix(stage: str) -> str:
    """What was done about all dead letters of a stage."""
    return f"dead-letters/{stage}/"


def books_key() -> str:
    """The books, as of a moment: moved by conditional put."""
    return "books/books.json"


def deletion_key(line: str, capture_id: str) -> str:
    """The write-once word that a capture is to be forgotten; it wins over whatever else names the capture."""
    return f"{deletions_prefix(line)}{capture_id}.json"


def line_deletion_key(line: str) -> str:
    """The word that what a line sent up to some moment is to be forgotten; no capture id begins with ``_``."""
    return f"{deletions_prefix(line)}_line.json"


def deletions_prefix(line: str) -> str:
    """All that is forgotten of a line."""
    return f"deletions/{line}/"


def expiry_key(line: str) -> str:
    """From which days on a line's images, masks and receipts are kept; it only moves on."""
    return f"expiries/{line}.json"


def images_prefix(line: str) -> str:
    """All images of a line, by the day they were first received."""
    return f"images/{line}/"


def masks_prefix(line: str, capture_id: str = "") -> str:
    """All masks of a line, or of one capture."""
    return f"masks/{line}/{capture_id}/" if capture_id else f"masks/{line}/"


def corrections_prefix(line: str, capture_id: str = "") -> str:
    """All corrections of a line, or of one capture."""
    return f"corrections/{line}/{capture_id}/" if capture_id else f"corrections/{line}/"


def training_set_members_key(line: str, product: str, digest: str) -> str:
    """Which captures and images a frozen training set names, for whoever must keep them; without Parquet."""
    return f"training-sets/{line}/{product}/{digest}.members.json"
