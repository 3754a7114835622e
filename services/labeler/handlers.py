"""Handlers of the labeler: pseudo-masks of inspected captures, and holds by command.

Captures whose image is unlike the normals get no pseudo-mask. While a segmenter serves, a share of the captures is
labelled as they come, and of the others those whose verdict is doubtful.
"""

from dataclasses import dataclass

import structlog

from services.labeler.domain.labelling import is_doubtful
from services.labeler.ports import HoldRecords, LabelRules, MaskScorer, SegmenterLookup, SizeRules, TeacherLookup
from siad.contracts.commands import CommandGiven, CommandKind
from siad.contracts.events import ImageStored, Intent, PseudoMaskCreated, VerdictGiven, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.labelling import is_drawn
from siad.contracts.learning import LearningHold
from siad.contracts.place import Place
from siad.runtime.clock import Clock
from siad.runtime.commands import CommandResult, refusal
from siad.vision.plausibility import MisfitError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPorts:
    """Ports of the handlers that label."""

    teachers: TeacherLookup
    segmenters: SegmenterLookup
    scorer: MaskScorer
    lines: LabelRules


async def on_image_stored(event: ImageStored, ports: LabelPorts) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with its line's teacher.

    Safe to repeat: the mask's key holds the capture and the teacher's digest, so a redelivered event overwrites the
    same bytes. Before the line's first teacher the result is empty, and the backfill labels the capture later. While a
    segmenter serves, only the captures that are drawn are labelled here; of the others the verdict decides.
    """
    if event.intent is not Intent.INSPECT:
        return []
    if ports.segmenters.serves(Place(event.line, event.product)) and not await _is_drawn(event, ports):
        return []
    return await label_by_teacher(event, ports)


async def find_doubtful(verdict: VerdictGiven, ports: LabelPorts) -> ImageStored | None:
    """Find the capture to label because a segmenter's verdict is doubtful.

    None for a capture that is labelled without it, or that is not labelled by choice.
    """
    place = Place(verdict.line, verdict.product)
    is_of_segmenter = verdict.weights_kind is WeightsKind.SEGMENTER
    if not (is_of_segmenter or ports.segmenters.serves(place)) or await _is_drawn(verdict, ports):
        return None
    spread = await ports.segmenters.spread(place, verdict.weights) if verdict.weights else None
    if not is_doubtful(verdict, spread):
        ports.segmenters.count_not_labelled(verdict.line)
        return None
    receipts = await ports.lines.receipts(verdict.line, [verdict.capture_id])
    return receipts[0] if receipts else None  # deleted or expired since


async def label_by_teacher(event: ImageStored, ports: LabelPorts) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with the teacher, if any."""
    weights = await ports.teachers.current(event.line, event.product)
    return [] if weights is None else await label(event, weights=weights, scorer=ports.scorer, lines=ports.lines)


async def _is_drawn(capture: ImageStored | VerdictGiven, ports: LabelPorts) -> bool:
    share = await ports.lines.labelled_share(capture.line, capture.line_revision)
    return is_drawn(capture.capture_id, share)


async def label(
    event: ImageStored, *, weights: WeightsId, scorer: MaskScorer, lines: SizeRules
) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with the given weights.

    An image that does not fit the normals has none, so that no segmenter learns from it; inference judges it UNKNOWN.
    """
    try:
        drawn = await scorer.draw(event, weights=weights, sizes=await lines.size_rule(event))
    except MisfitError as error:
        misfit = error.misfit
        log.warning("capture_left_out", capture_id=event.capture_id, reason=misfit.reason.value, detail=misfit.detail)
        return []
    mask = PseudoMaskCreated(
        capture_id=event.capture_id,
        image_id=event.image_id,
        image_uri=event.image_uri,
        line=event.line,
        product=event.product,
        captured_at=event.captured_at,
        received_at=event.received_at,
        mask_uri=drawn.mask_uri,
        mask_sha256=drawn.mask_sha256,
        weights=weights,
        score=drawn.score,
        threshold=drawn.threshold,
        defect_ratio=drawn.defect_ratio,
        regions=drawn.regions,
        confidence=drawn.confidence,
        serial=event.serial,
        image_hash=drawn.image_hash,
    )
    return [mask]


async def on_hold_or_resume(command: CommandGiven, *, holds: HoldRecords, clock: Clock) -> CommandResult:
    """Hold the learning of a place by command, or resume it."""
    place, is_hold = Place(command.line, command.product), command.kind is CommandKind.HOLD
    before = await holds.read(place)
    is_repeat = before is not None and before.command_id == command.command_id
    if not is_repeat and not is_hold and (before is None or not before.is_on):
        return refusal(f"the learning of {place} is not held; nothing was changed")
    since_at = before.since_at if before is not None and before.is_on and is_hold else clock.now()
    hold = LearningHold(
        is_on=is_hold, by=command.by, reason=command.reason, since_at=since_at, command_id=command.command_id
    )
    if not is_repeat:
        await holds.put(place, hold)
    if is_hold:
        return CommandResult(
            detail="learning is held: no refit on more captures, no training run and no release until it is resumed; "
            "inspection goes on"
        )
    return CommandResult(detail="learning is resumed, unless the line's setting or the brake stops it")
