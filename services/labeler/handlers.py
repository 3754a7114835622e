"""Handlers of the labeler: pseudo-masks of inspected captures, and holds by command.

Captures whose image is unlike the normals get no pseudo-mask.
"""

import structlog

from services.labeler.ports import HoldRecords, MaskScorer, SizeRules, TeacherLookup
from siad.contracts.commands import CommandGiven, CommandKind
from siad.contracts.events import ImageStored, Intent, PseudoMaskCreated
from siad.contracts.ids import WeightsId
from siad.contracts.learning import LearningHold
from siad.contracts.place import Place
from siad.runtime.clock import Clock
from siad.runtime.commands import CommandResult, refusal
from siad.vision.plausibility import MisfitError

log = structlog.get_logger()


async def on_image_stored(
    event: ImageStored, *, teachers: TeacherLookup, scorer: MaskScorer, lines: SizeRules
) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with its line's teacher.

    Safe to repeat: the mask's key holds the capture and the teacher's digest, so a redelivered event overwrites the
    same bytes. Before the line's first teacher the result is empty, and the backfill labels the capture later.
    """
    if event.intent is not Intent.INSPECT:
        return []
    weights = await teachers.current(event.line, event.product)
    return [] if weights is None else await label(event, weights=weights, scorer=scorer, lines=lines)


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
