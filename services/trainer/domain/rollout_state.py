"""State of a rollout, from that of its line. Pure."""

from services.trainer.domain.ledger import corrections_of
from services.trainer.domain.quarantine import unsure_where_tainted
from services.trainer.domain.state import SegmenterState
from services.trainer.domain.trials import RolloutState
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.events import WeightsKind
from siad.contracts.fit_settings import FitSettings
from siad.contracts.pointer import Pointer
from siad.contracts.rollout import RolloutMode
from siad.contracts.training_runs import RunState


def rollout_state(state: SegmenterState) -> RolloutState:
    """Take from the state what the candidate's rollout depends on."""
    last, trial, settings = state.last_run, state.trial, state.settings
    is_waiting = last is not None and may_be_released(last, state)
    is_segmenter = state.segmenter is not None and bool(state.segmenter.in_service)
    serving = state.segmenter if is_segmenter and state.segmenter is not None else state.teacher.pointer
    manifest = state.teacher.manifest
    tried = "" if trial is None else trial.spec.candidate
    is_last = last is not None and tried == last.candidate
    barred = f"candidate {tried[:12]} is in quarantine" if tried in state.quarantine.weights else ""
    normals = 0 if manifest is None else len(manifest.normals)
    return RolloutState(
        place=state.place,
        mode=RolloutMode.of("" if settings is None else settings.rollout),
        candidate=last.candidate if is_waiting and last is not None else "",
        run="" if last is None else last.spec.run,
        serving=serving.weights,
        serving_kind=WeightsKind.SEGMENTER if is_segmenter else WeightsKind.TEACHER,
        budget=0.05 if settings is None else FitSettings.of_line(settings).budget_for(normals),
        trial=trial,
        announced=state.announced_trial,
        barred=barred or (state.tainted if is_last else ""),
        is_released=bool(tried) and was_released(tried, state.segmenter),
        pause=state.pause,
        truths=_truths(state),
    )


def _truths(state: SegmenterState) -> dict[str, bool]:
    """Say which captures are defective, of those that people answered."""
    rows = unsure_where_tainted(corrections_of(state.files), state.quarantine)
    newest = {row.capture_id: row.verdict for row in sorted(rows, key=lambda row: row.revision)}
    sure = {CorrectionVerdict.GOOD: False, CorrectionVerdict.DEFECT: True}
    return {capture_id: sure[verdict] for capture_id, verdict in newest.items() if verdict in sure}


def may_be_released(run: RunState, state: SegmenterState) -> bool:
    """Whether an accepted candidate waits for its release."""
    if not run.candidate or state.tainted or run.candidate in state.quarantine.weights:
        return False
    return not was_released(run.candidate, state.segmenter)


def was_released(weights: str, pointer: Pointer | None) -> bool:
    """Whether a candidate has served: it may have been rolled back since."""
    return pointer is not None and weights in (pointer.weights, *pointer.history, *pointer.rejected)
