"""`siad lineage` and `siad taint`: what weights learned from, and its quarantine."""

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import list_names, print_pairs
from siad.apps.local.connection import PlantConnection, connect
from siad.apps.local.machine import DATA
from siad.apps.local.run_records import request_runs
from siad.apps.local.sign_in import user
from siad.audit.capture_report import read_report
from siad.audit.captures import describe_deletion, find_matches, read_capture, require_one
from siad.audit.lineage import LineLineage, WeightsLineage, read_lineage
from siad.audit.rollback import announce
from siad.audit.taint import TaintPlan, TaintRoot, apply_taint, find_root, find_taint, plan_taint
from siad.audit.verdicts import VerdictLog
from siad.contracts.audit_log import AuditAction
from siad.contracts.errors import TransientError
from siad.contracts.events import SegmenterStatus, VerdictGiven
from siad.contracts.ids import require_slug
from siad.contracts.json_codec import to_plain
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.runtime.access.audit_log import record

console, errors = Console(), Console(stderr=True)
DIGITS, NAMES_SHOWN = 12, 8

Line = Annotated[str | None, typer.Option("--line", help="Search only this line.")]
Named = Annotated[
    str,
    typer.Argument(metavar="ID", help="First digits of weights or of a capture, or CAPTURE-REVISION of a correction."),
]


def lineage(name: Named, line: Line = None, data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Show where weights come from, and which weights come from them.

    Of weights: the training set, its corrections, the teachers that drew its pseudo-masks, and the normals. Of a
    capture, which also names its verdict: the weights that judged it, its masks and corrections. Of each: the weights
    that learned from it, directly or through others.
    """
    with reported_failures():
        plant, root = _find(name, line, data)
        found = read_lineage(plant.blobs, root.line)
        plan = plan_taint(plant.blobs, root)
        own = found.weights.get(root.subject) if root.kind is TaintedKind.WEIGHTS else None
        pairs = [*(_of_weights(own) if own else _of_capture(plant, root, found)), *_descendants(plan.descendants)]
    if as_json:
        body = {
            "root": root,
            "weights": own,
            "descendants": list(plan.descendants),
            "facts": [list(pair) for pair in pairs],
        }
        print(json.dumps(to_plain(body), indent=2))
    else:
        print_pairs(console, pairs)


def taint(
    name: Named,
    because: Annotated[str, typer.Option("--because", help="Why; stored with every record.")],
    line: Line = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: options.Data = DATA,
) -> None:
    """Put weights, a capture or a correction in quarantine.

    With all weights that learned from it. Weights in quarantine are never released or rolled back to; nothing learns
    from a capture or correction in quarantine. The line goes back to its newest other weights, and trains again
    without. There is no way out of quarantine.
    """
    with reported_failures():
        if not because.strip():
            msg = "--because is empty; nothing was changed. Say why: every record keeps it"
            raise ValueError(msg)
        plant, root = _find(name, line, data)
        plan = plan_taint(plant.blobs, root)
        print_pairs(console, [*_planned(plan), *_descendants(plan.descendants)])
        earlier = find_taint(plant.blobs, plan)
        if earlier is None and not yes and not typer.confirm("Put all of this in quarantine for ever?"):
            console.print("nothing was changed")
            raise typer.Exit(1)
        now = datetime.now(UTC)
        pointers = apply_taint(plant.blobs, plan, reason=because, now=now)
        if earlier is None:
            record(plant.blobs, AuditAction.TAINTED, user(), f"{name} of line {root.line}", now=now, detail=because)
        asyncio.run(request_runs(plant.blobs, root.line, plan.retrained))
        if pointers:
            _announce(plant, pointers)
    console.print(_describe_done(earlier, plan), highlight=False, soft_wrap=True, markup=False)


def _describe_done(earlier: QuarantineRecord | None, plan: TaintPlan) -> str:
    if earlier is None:
        return "done; trainer and labeler go on without it"
    again = "; a run without it was requested again" if plan.retrained else ""
    return f"already in quarantine since {earlier.tainted_at:%Y-%m-%d %H:%M:%S} UTC: {earlier.reason}{again}"


def _announce(plant: PlantConnection, pointers: Sequence[Pointer]) -> None:
    try:
        asyncio.run(announce(plant.bus, pointers))
    except TransientError as error:
        errors.print(
            f"the moves are stored, but not announced yet: {error}. The stages announce them once the broker responds",
            soft_wrap=True,
        )


def _find(name: str, line: str | None, data: Path) -> tuple[PlantConnection, TaintRoot]:
    if line is not None:
        require_slug("--line", line)
    plant = connect(data)
    return plant, find_root(plant.blobs, name, line=line)


def _of_weights(one: WeightsLineage) -> Iterator[tuple[str, str]]:
    yield "weights", one.weights
    yield "kind", f"{one.kind.value} ({one.method}) of {one.line}/{one.product}"
    yield "state", one.state + (", in quarantine" if one.in_quarantine else "")
    if one.training_set:
        yield "training set", f"{one.training_set}: {len(one.captures)} captures"
    elif one.captures:
        yield "captures of the stream", _listed(one.captures)
    yield "corrections", _listed(one.corrections)
    yield "learned from weights", _listed(one.teachers)
    if one.normals:
        yield "normals", _listed(one.normals)


def _of_capture(plant: PlantConnection, root: TaintRoot, found: LineLineage) -> Iterator[tuple[str, str]]:
    capture_id = root.subject.partition("-")[0]
    match = require_one(find_matches(plant.blobs, capture_id, line=root.line), capture_id)
    if match.is_deleted:
        yield "capture", f"{capture_id} of {root.line}"
        yield "state", describe_deletion(plant.blobs, match)
        return
    receipt = read_capture(plant.blobs, match)
    report = read_report(plant.blobs, receipt, _verdicts(plant, root.line, capture_id))
    yield "capture", f"{capture_id} of {receipt.line}/{receipt.product}"
    if root.kind is TaintedKind.CORRECTION:
        yield "correction", root.subject
    for verdict in report.verdicts:
        yield "verdict", f"{verdict.decision.value} at {verdict.judged_at:%Y-%m-%d %H:%M:%S} UTC"
        yield "by weights", f"{verdict.weights_kind.value} {verdict.weights or 'none'}"
    for mask in report.masks:
        yield "mask of the verdict" if mask.is_of_verdict else "pseudo-mask", f"{mask.kind.value} {mask.weights}"
    yield "corrections", _listed(found.corrections.get(capture_id, ()))
    if capture_id in found.quarantine.captures:
        yield "state", "in quarantine"


def _verdicts(plant: PlantConnection, line: str, capture_id: str) -> list[VerdictGiven]:
    try:
        return asyncio.run(VerdictLog(plant.bus).find(lambda one: (one.line, one.capture_id) == (line, capture_id)))
    except TransientError as error:
        errors.print(f"verdicts could not be read: {error}", soft_wrap=True)
        return []


def _planned(plan: TaintPlan) -> Iterator[tuple[str, str]]:
    yield "to quarantine", f"{plan.root.kind.value} {plan.root.subject} of line {plan.root.line}"
    for move in plan.moves:
        place = f"{move.leaves.kind.value} of {move.leaves.place}"
        is_withdrawn = move.status is SegmenterStatus.WITHDRAWN
        to = (
            f"withdrawn, so teacher {move.judges[:DIGITS]} judges"
            if is_withdrawn
            else f"back to {move.weights[:DIGITS]}"
        )
        yield place, f"{move.leaves.weights[:DIGITS]} {to}"
    for pointer in plan.stay:
        text = f"{pointer.weights[:DIGITS]} judges until the labeler has fitted another; no earlier one can"
        yield f"{pointer.kind.value} of {pointer.place}", text
    for product in plan.retrained:
        yield "trained again", str(Place(plan.root.line, product))


def _descendants(descendants: Collection[WeightsLineage]) -> Iterator[tuple[str, str]]:
    if not descendants:
        yield "weights that learned from it", "none"
    for one in descendants:
        quarantine = ", in quarantine" if one.in_quarantine else ""
        yield "learned from it", f"{one.kind.value} {one.weights} of {one.line}/{one.product}, {one.state}{quarantine}"


def _listed(names: Collection[str]) -> str:
    return list_names(names, most=NAMES_SHOWN) or "none"
