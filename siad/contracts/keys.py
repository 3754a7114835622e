"""Object keys of the bucket: every key is built and parsed here.

One function for each kind of object, so that no stage spells a key of its own; ``tests/architecture/test_keys.py``
holds it. ``docs/architecture.md`` lists the layout of the store.
"""

from datetime import UTC, date, datetime
from typing import Final

from siad.contracts.key_parts import checked_part, last_part, place_in, prefix_of
from siad.contracts.place import Place

DOCTOR_PREFIX: Final = "probes/doctor/"  # of objects by which `siad doctor` tries the rights on the store
CONDITIONAL_PUT_KEY: Final = "probes/conditional-put"  # written once per bucket, to test that conditions are obeyed
SCORE_MAP: Final = ".map.png"  # end of a map's key, among those of masks
_OF_VERDICT: Final = ".verdict.png"
_MEMBERS: Final = ".members.json"
_PARQUET: Final = ".parquet"


def name_of(key: str) -> str:
    """Return the last part of a key without ``.json``."""
    return key.rsplit("/", 1)[-1].removesuffix(".json")


def image_key(line: str, received_at: datetime, image_id: str, extension: str) -> str:
    """Image as it was sent, under the UTC date of its receipt."""
    day = f"{received_at.astimezone(UTC):%Y-%m-%d}"
    return f"images/{checked_part(line)}/{day}/{checked_part(image_id)}.{checked_part(extension)}"


def images_prefix(line: str) -> str:
    """All images of a line, in the order of their days."""
    return f"images/{checked_part(line)}/"


def day_of_image(key: str) -> date:
    """Return the UTC day of an image's key; ValueError for another key."""
    _, _, day, _ = key.split("/")
    return date.fromisoformat(day)


def capture_key(line: str, capture_id: str) -> str:
    """Write-once receipt of a capture."""
    return f"captures/{checked_part(line)}/{checked_part(capture_id)}.json"


def captures_prefix(line: str) -> str:
    """All receipts of a line."""
    return f"captures/{checked_part(line)}/"


def normal_key(line: str, product: str, capture_id: str) -> str:
    """Write-once mark that a capture was labelled normal."""
    return f"normals/{checked_part(line)}/{checked_part(product)}/{checked_part(capture_id)}.json"


def normals_prefix(line: str = "", product: str = "") -> str:
    """All normals, of a line, or of a line and product."""
    return f"normals/{prefix_of(line, product)}"


def place_of_normal(key: str) -> Place | None:
    """Return the place of a normal's key; None for another key."""
    parts = key.split("/")
    return Place(parts[1], parts[2]) if len(parts) == 4 else None


def mask_key(line: str, capture_id: str, weights: str, threshold_revision: int = 0) -> str:
    """Pseudo-mask: uint8 [H, W], 0 good, 128 unsure, 255 defect.

    The revision of a threshold that was set since is part of it; 0, the manifest's own, is not written.
    """
    return f"{_mask_stem(line, capture_id, weights, threshold_revision)}.png"


def verdict_mask_key(line: str, capture_id: str, weights: str, threshold_revision: int = 0) -> str:
    """Mask of a verdict; its bytes differ from the pseudo-mask's."""
    return f"{_mask_stem(line, capture_id, weights, threshold_revision)}{_OF_VERDICT}"


def score_map_key(line: str, capture_id: str, weights: str) -> str:
    """Map of scores for people, among the masks: uint8 [h, w]."""
    return f"{_mask_stem(line, capture_id, weights, 0)}{SCORE_MAP}"


def masks_prefix(line: str, capture_id: str = "") -> str:
    """All masks of a line, or of one capture."""
    return f"masks/{prefix_of(line, capture_id)}"


def capture_of_mask(key: str) -> str:
    """Return the capture id of a mask's key; ValueError for another key."""
    _, _, capture_id, _ = key.split("/")
    return capture_id


def weights_of_mask(key: str) -> str:
    """Return the weights that drew a mask; ValueError for another key."""
    _, _, _, name = key.split("/")
    return name.partition(".")[0]


def is_verdict_mask(key: str) -> bool:
    """Whether a mask's key is that of a verdict."""
    return key.endswith(_OF_VERDICT)


def correction_key(line: str, capture_id: str, revision: int) -> str:
    """Write-once record of a correction: the event as JSON."""
    return f"{corrections_prefix(line, capture_id)}{revision}.json"


def correction_mask_key(line: str, capture_id: str, sha256: str) -> str:
    """Mask that a person drew, of a defect.

    Values as of a pseudo-mask. Named by its bytes, so that two people who draw at once can't mix up their masks.
    """
    return f"{corrections_prefix(line, capture_id)}{checked_part(sha256)}.png"


def correction_of(key: str) -> tuple[str, str, int] | None:
    """Line, capture and revision of a record; None for a mask."""
    _, line, capture_id, name = key.split("/")
    return (line, capture_id, int(name.removesuffix(".json"))) if name.endswith(".json") else None


def capture_of_correction(key: str) -> str:
    """Return the capture of a correction's record or mask."""
    return key.split("/")[2]


def corrections_prefix(line: str = "", capture_id: str = "") -> str:
    """All corrections, of a line, or of one capture."""
    return f"corrections/{prefix_of(line, capture_id)}"


def ledger_key(place: Place, topic: str, partition: int, first: int, last: int) -> str:
    """Rows that the trainer read from one partition, offsets ``first`` to ``last``."""
    return f"{ledger_prefix(*place)}{checked_part(topic)}-{partition}-{first}-{last}.parquet"


def merged_ledger_key(place: Place, digest: str) -> str:
    """Rows of several ledger files; write-once, rewritten to erase captures.

    The digest is that of the bytes as they were first written.
    """
    return f"{ledger_prefix(*place)}merged-{checked_part(digest)}.parquet"


def ledger_prefix(line: str, product: str) -> str:
    """All rows of a line and product."""
    return f"ledger/{checked_part(line)}/{checked_part(product)}/"


def training_set_key(line: str, product: str, digest: str) -> str:
    """Frozen training set."""
    return f"training-sets/{checked_part(line)}/{checked_part(product)}/{checked_part(digest)}{_PARQUET}"


def training_set_members_key(line: str, product: str, digest: str) -> str:
    """Captures and images of a frozen training set, readable without Parquet."""
    return f"training-sets/{checked_part(line)}/{checked_part(product)}/{checked_part(digest)}{_MEMBERS}"


def training_sets_prefix(line: str, product: str = "") -> str:
    """All training sets and lists of members of a line or place."""
    return f"training-sets/{prefix_of(line, product)}"


def training_set_of(key: str) -> tuple[Place, str] | None:
    """Return place and digest of a training set; None for another key."""
    return (place_in(key), last_part(key, _PARQUET)) if key.endswith(_PARQUET) else None


def members_of(key: str) -> tuple[Place, str] | None:
    """Return place and digest of a member list; None for another key."""
    return (place_in(key), last_part(key, _MEMBERS)) if key.endswith(_MEMBERS) else None


def threshold_key(line: str, product: str, weights: str) -> str:
    """Image threshold that some weights have now; moved by conditional put."""
    return f"{thresholds_prefix(line, product)}{checked_part(weights)}.json"


def thresholds_prefix(line: str = "", product: str = "") -> str:
    """All thresholds that were set, of a line or place."""
    return f"thresholds/{prefix_of(line, product)}"


def part_key(sha256: str) -> str:
    """One file of bundles, stored once."""
    return f"parts/{checked_part(sha256)}"


def manifest_key(line: str, product: str, weights: str) -> str:
    """Manifest of some weights."""
    return f"weights/{checked_part(line)}/{checked_part(product)}/{checked_part(weights)}.json"


def manifests_prefix(line: str) -> str:
    """All manifests of a line."""
    return f"weights/{checked_part(line)}/"


def checkpoints_prefix(run: str) -> str:
    """Checkpoints of a run, written by Ray Train through pyarrow."""
    return f"checkpoints/{checked_part(run)}"


def runs_prefix(line: str, product: str) -> str:
    """All training runs of a line and product: ``checkpoints/<line>.<product>.<number>/...``."""
    return f"checkpoints/{checked_part(line)}.{checked_part(product)}."


def run_of(key: str) -> str:
    """Return the run of an object below ``checkpoints_prefix``."""
    return key.split("/")[1]


def run_spec_key(run: str) -> str:
    """Write-once specification of a training run."""
    return f"{checkpoints_prefix(run)}/spec.json"


def run_attempt_key(run: str, number: int) -> str:
    """Write-once record that the run's job was started for the ``number``-th time."""
    return f"{run_attempts_prefix(run)}{number:04d}.json"


def run_attempts_prefix(run: str) -> str:
    """All records of starts of a run's job, in order."""
    return f"{checkpoints_prefix(run)}/attempts/"


def run_failure_key(run: str, number: int) -> str:
    """Write-once record of why the ``number``-th start of the run's job failed."""
    return f"{checkpoints_prefix(run)}/failures/{number:04d}.json"


def run_report_key(run: str) -> str:
    """Write-once report of the run's job."""
    return f"{checkpoints_prefix(run)}/report.json"


def run_judgement_key(run: str) -> str:
    """Write-once decision about the run."""
    return f"{checkpoints_prefix(run)}/judgement.json"


def run_request_key(line: str, product: str, number: int) -> str:
    """Write-once request of an operator that a training run starts."""
    return f"{run_requests_prefix(line, product)}{number:06d}.json"


def run_requests_prefix(line: str, product: str) -> str:
    """All requests for training runs of a line and product, in order."""
    return f"run-requests/{checked_part(line)}/{checked_part(product)}/"


def line_revision_key(line: str, revision: int) -> str:
    """Write-once revision of a line's settings."""
    return f"lines/{checked_part(line)}/{revision}.json"


def line_pointer_key(line: str) -> str:
    """Present settings of a line."""
    return f"{line_pointers_prefix()}{checked_part(line)}.json"


def line_pointers_prefix() -> str:
    """Present settings of all lines."""
    return "pointers/lines/"


def weights_pointer_key(kind: str, line: str, product: str) -> str:
    """Weights of a kind (teacher, segmenter) that serve a line and product."""
    return f"{weights_pointers_prefix(kind)}{checked_part(line)}/{checked_part(product)}.json"


def weights_pointers_prefix(kind: str) -> str:
    """All pointers of one kind of weights."""
    return f"pointers/{checked_part(kind)}/"


def place_of_weights_pointer(key: str) -> Place:
    """Return the place of a weights pointer's key; ValueError for another key."""
    _, _, line, name = key.split("/")
    return Place(line, name.removesuffix(".json"))


def lease_key(name: str) -> str:
    """Holder of a lease, and its expiry."""
    return f"pointers/leases/{name}.json"


def backfill_key(line: str, product: str) -> str:
    """Mark that the captures from before the first teacher were labelled."""
    return f"backfills/{checked_part(line)}/{checked_part(product)}.json"


def backfill_list_key(line: str, product: str) -> str:
    """Captures that the backfill of a line and product labels."""
    return f"backfills/{checked_part(line)}/{checked_part(product)}/captures.json"


def stream_scores_key(line: str, product: str) -> str:
    """Newest scores of a stream, by its teachers; moved by conditional put."""
    return f"stream-scores/{checked_part(line)}/{checked_part(product)}.json"


def drift_key(line: str, product: str) -> str:
    """Drifts of a line's images, with their evidence; moved by conditional put."""
    return f"drift/{checked_part(line)}/{checked_part(product)}.json"


def brake_key(line: str, product: str) -> str:
    """Brake of a line's learning; moved by conditional put."""
    return f"brakes/{checked_part(line)}/{checked_part(product)}.json"


def hold_key(line: str, product: str) -> str:
    """Hold of a line's learning by a person; moved by conditional put."""
    return f"holds/{checked_part(line)}/{checked_part(product)}.json"


def command_key(line: str, command_id: str, record: str) -> str:
    """Write-once: ``given``, a person's command, or ``outcome``, what a stage did."""
    return f"commands/{checked_part(line)}/{checked_part(command_id)}/{checked_part(record)}.json"


def refit_key(line: str, product: str, number: int) -> str:
    """Write-once record of the ``number``-th fit of a teacher, with its decision."""
    return f"{refits_prefix(line, product)}{number:06d}.json"


def refits_prefix(line: str, product: str) -> str:
    """All records of fits of a line and product, in order."""
    return f"refits/{checked_part(line)}/{checked_part(product)}/"


def quarantine_key(line: str, kind: str, subject: str) -> str:
    """Write-once record that weights, a capture or a correction are in quarantine."""
    return f"{quarantine_prefix(line)}{checked_part(kind)}/{checked_part(subject)}.json"


def quarantine_prefix(line: str) -> str:
    """All records of quarantine of a line."""
    return f"quarantine/{checked_part(line)}/"


def kind_of_quarantine(key: str) -> str:
    """Return what a record of quarantine is about."""
    return key.split("/")[2]


def letter_mark_key(stage: str, topic: str, partition: int, offset: int) -> str:
    """Mark of a stage's dead letter, by the position of its record."""
    return f"{letter_marks_prefix(stage)}{checked_part(topic)}-{partition}-{offset}.json"


def letter_marks_prefix(stage: str) -> str:
    """All marks of a stage's dead letters."""
    return f"dead-letters/{checked_part(stage)}/"


def books_key() -> str:
    """Snapshot of the capture ledger; moved by conditional put."""
    return "books/books.json"


def deletion_key(line: str, capture_id: str) -> str:
    """Write-once deletion record of a capture, which takes precedence over all others."""
    return f"{deletions_prefix(line)}{checked_part(capture_id)}.json"


def line_deletion_key(line: str) -> str:
    """Deletion record of all captures of a line up to a moment."""
    return f"{deletions_prefix(line)}_line.json"  # no capture id begins with _


def prefix_of_line_objects(kind: str, line: str) -> str:
    """All objects of one kind of a line, such as ``masks``."""
    return f"{checked_part(kind)}/{checked_part(line)}/"


def deletions_prefix(line: str) -> str:
    """All deletion records of a line."""
    return f"deletions/{checked_part(line)}/"


def expiry_key(line: str) -> str:
    """First days of which a line's images, masks and receipts are kept."""
    return f"expiries/{checked_part(line)}.json"


def _mask_stem(line: str, capture_id: str, weights: str, threshold_revision: int) -> str:
    revision = f".t{threshold_revision}" if threshold_revision else ""
    return f"masks/{checked_part(line)}/{checked_part(capture_id)}/{checked_part(weights)}{revision}"
