"""From normals to a teacher and to what came before it: on a store in memory, with a crash at every step."""

from dataclasses import replace

import pytest
import structlog

from services.labeler.domain.fitting import (
    NORMALS_MAX,
    FitRecord,
    choose_normals,
    describe_shortage,
    fit_step,
    was_missed,
)
from services.labeler.domain.plan import (
    AnnounceTeacher,
    BackfillLine,
    FitAttempt,
    FitTeacher,
    TeacherState,
    plan,
)
from siad.contracts.deletion import DeletionIndex
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import Intent
from siad.contracts.fit_settings import FitSettings
from siad.contracts.keys import (
    line_pointer_key,
    manifest_key,
    refits_prefix,
    weights_pointer_key,
)
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.refits import FitCounts, RefitCause, RefitRecord
from siad.contracts.release_evidence import GateDecision
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.registry import Registry
from siad.runtime.testing.diary import ProcessKilled
from siad.vision.images import DECODER_VERSION
from tests.events import NOON
from tests.unit.labeler.world import LINE, PLACE, PRODUCT, UNIT, World, capture, manifest_of

NOTHING_DELETED = DeletionIndex(frozenset(), None)
SETTINGS = FitSettings(false_reject_budget=0.05)
OTHER = FitSettings(false_reject_budget=0.05, method="student-teacher")
STATE = TeacherState(
    place=PLACE,
    normals=10,
    settings=SETTINGS,
    pointer=None,
    fit=None,
    announced=0,
    refused=None,
    is_backfilled=False,
)


def due(
    normals: int,
    settings: FitSettings = SETTINGS,
    *,
    cause: RefitCause = RefitCause.FIRST,
    pointer: Pointer | None = None,
    number: int = 1,
) -> FitTeacher:
    return FitTeacher(cause, FitCounts(normals=normals), settings, pointer, number)


def fitted(normals: int, settings: FitSettings = SETTINGS, cause: RefitCause = RefitCause.NORMALS) -> RefitRecord:
    return RefitRecord(
        number=1,
        line=LINE,
        product=PRODUCT,
        cause=cause,
        counts=FitCounts(normals=normals),
        settings=settings,
        weights="1" * 64,
        serving="",
        decision=GateDecision(accepted=False, reasons=("worse",)),
        ended_at=NOON,
    )


SERVED = replace(STATE, pointer=World().release(manifest_of(["a" * 32] * 10)), announced=1, is_backfilled=True)


@pytest.mark.parametrize(
    ("normals", "expected"),
    [(0, 0), (9, 0), (10, 10), (19, 10), (20, 20), (49, 20), (50, 50), (100, 100), (199, 100), (200, 200), (1000, 800)],
)
def test_a_teacher_is_due_at_ten_twenty_fifty_a_hundred_and_every_doubling(normals: int, expected: int) -> None:
    assert fit_step(normals) == expected


@pytest.mark.parametrize(
    ("normals", "text"),
    [
        (9, "line press-1 has 9 of 10 normals of cap; 1 more is needed before a teacher is fitted"),
        (0, "line press-1 has 0 of 10 normals of cap; 10 more are needed before a teacher is fitted"),
        (10, ""),
        (500, ""),
    ],
)
def test_a_shortage_of_normals_is_counted(normals: int, text: str) -> None:
    assert describe_shortage(Place("press-1", "cap"), normals) == text


async def test_a_shortage_of_normals_is_logged_once_for_each_count() -> None:
    world = World()
    with structlog.testing.capture_logs() as logs:
        for count in (8, 9, 9, 10):
            world.add_normals(upto=count)
            await world.observe()
    told = [(entry["normals"], entry["reason"]) for entry in logs if entry["event"] == "normals_missing"]
    assert [count for count, _ in told] == [8, 9]
    assert told[1][1] == describe_shortage(PLACE, 9)


def test_a_fit_takes_the_first_and_the_last_normals_in_whatever_order_they_are_listed() -> None:
    normals = [capture(number, intent=Intent.NORMAL, minutes=number) for number in range(180)]
    assert choose_normals(reversed(normals[:NORMALS_MAX]), NOTHING_DELETED) == normals[:NORMALS_MAX]
    assert choose_normals(reversed(normals), NOTHING_DELETED) == [*normals[:75], *normals[-75:]]


def test_only_inspected_captures_of_the_product_from_before_the_teacher_were_missed() -> None:
    before, after = capture(1, minutes=-5), capture(2, minutes=5)
    others = [capture(3, intent=Intent.NORMAL, minutes=-5), capture(4, minutes=-5, product="lid")]
    found = [one for one in (after, before, *others) if was_missed(one, product=PRODUCT, first_released_at=NOON)]
    assert found == [before]


def test_nine_normals_are_waited_on_and_the_tenth_makes_a_fit() -> None:
    assert plan(replace(STATE, normals=9)) == []
    assert plan(STATE) == [due(10)]


def test_a_line_that_is_gone_gets_no_teacher() -> None:
    assert plan(replace(STATE, settings=None)) == []


def test_normals_that_were_refused_are_tried_again_only_when_there_are_more() -> None:
    refused = replace(STATE, refused=FitAttempt(10, SETTINGS))
    assert plan(refused) == []
    assert plan(replace(refused, normals=11)) == [due(11)]
    assert plan(replace(refused, settings=OTHER)) == [due(10, OTHER)]


def test_a_fit_is_not_repeated_before_the_next_step_whether_it_was_released_or_not() -> None:
    short = replace(SERVED, fit=FitRecord(19, SETTINGS), last=fitted(20))
    assert plan(replace(short, normals=20)) == []
    assert plan(replace(short, normals=49)) == []
    assert plan(replace(short, normals=50)) == [due(50, cause=RefitCause.NORMALS, pointer=SERVED.pointer, number=2)]


@pytest.mark.parametrize(
    ("goods", "stream", "cause"),
    [
        (9, 49, None),
        (10, 0, RefitCause.GOODS),
        (0, 50, RefitCause.STREAM),
        (10, 50, RefitCause.GOODS),
    ],
)
def test_a_refit_is_due_at_steps_of_confirmed_captures_and_of_the_stream(
    goods: int, stream: int, cause: RefitCause | None
) -> None:
    state = replace(SERVED, fit=FitRecord(10, SETTINGS), goods=goods, stream=stream)
    assert [action.cause for action in plan(state) if isinstance(action, FitTeacher)] == ([cause] if cause else [])
    again = replace(fitted(10), counts=state.counts)
    assert plan(replace(state, last=again)) == []


@pytest.mark.parametrize(
    "other",
    [
        FitSettings(false_reject_budget=0.01),
        FitSettings(false_reject_budget=0.05, method="student-teacher"),
        FitSettings(false_reject_budget=0.05, region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5)),
        FitSettings(false_reject_budget=0.05, input_px=512),
        FitSettings(false_reject_budget=0.05, bits=12),
    ],
    ids=["budget", "method", "region", "input size", "depth"],
)
def test_a_line_that_wants_another_teacher_gets_one_once(other: FitSettings) -> None:
    served = replace(SERVED, fit=FitRecord(10, SETTINGS))
    wanted = due(10, other, cause=RefitCause.SETTINGS, pointer=SERVED.pointer)
    assert plan(served) == []
    assert plan(replace(served, settings=other)) == [wanted]
    assert plan(replace(served, settings=other, last=fitted(10))) == [replace(wanted, number=2)]
    assert plan(replace(served, settings=other, last=fitted(10, other))) == []
    assert plan(replace(served, settings=other, fit=FitRecord(10, other))) == []


def test_a_teacher_from_before_settings_were_written_down_is_left_alone() -> None:
    assert plan(replace(SERVED, fit=FitRecord(10, None))) == []
    assert plan(replace(SERVED, normals=20, fit=FitRecord(10, None))) == [
        due(20, cause=RefitCause.NORMALS, pointer=SERVED.pointer)
    ]


def test_a_teacher_that_cannot_be_opened_is_fitted_again_once() -> None:
    closed = replace(SERVED, fit=FitRecord(0, SETTINGS), last=fitted(10))
    assert [action.cause for action in plan(closed) if isinstance(action, FitTeacher)] == [RefitCause.UNREADABLE]
    assert SERVED.pointer is not None
    cure = replace(fitted(10, cause=RefitCause.UNREADABLE), weights=SERVED.pointer.weights)
    assert plan(replace(closed, last=cure)) == []


async def test_what_came_before_is_labelled_before_the_teacher_is_fitted_again() -> None:
    world = World()
    pointer = world.release(manifest_of(["a" * 32] * 10))
    state = replace(STATE, normals=20, pointer=pointer, fit=FitRecord(10, SETTINGS), announced=1)
    assert plan(state) == [BackfillLine(pointer)]
    assert plan(replace(state, is_backfilled=True)) == [due(20, cause=RefitCause.NORMALS, pointer=pointer)]
    assert plan(replace(state, fit=FitRecord(20, SETTINGS), is_backfilled=True, announced=0)) == [
        AnnounceTeacher(pointer)
    ]


async def test_ten_normals_become_a_teacher_that_is_told_of_and_labels_what_came_before() -> None:
    world = World()
    world.add_normals(9)
    assert await world.settle() == []
    world.add_normals(10)
    early = world.add(capture(1, minutes=-30))
    assert await world.settle() == ["FitTeacher", "BackfillLine"]
    assert len(world.teacher().normals) == 10
    [told] = world.releases()
    [mask] = world.masks()
    pointer = world.pointer()
    assert pointer is not None
    assert (told.revision, told.weights, told.released_at) == (1, pointer.weights, NOON)
    assert (mask.capture_id, mask.weights, mask.image_uri) == (early.capture_id, pointer.weights, early.image_uri)
    assert await world.settle() == []


async def test_the_teacher_is_fitted_again_at_twenty_normals_and_old_masks_stay() -> None:
    world = World()
    world.add_normals(10)
    world.add(capture(1, minutes=-30))
    await world.settle()
    world.add_normals(19)
    assert await world.settle() == []
    world.add_normals(20)
    assert await world.settle() == ["FitTeacher"]
    assert len(world.teacher().normals) == 20
    assert [told.revision for told in world.releases()] == [1, 2]
    assert len(world.masks()) == 1


async def test_a_teacher_that_was_rolled_back_is_not_released_again() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    first = world.teacher()
    world.add_normals(20)
    await world.settle()
    left = world.teacher().weights
    Registry(world.blobs).point(first, expected=world.pointer(), released_at=NOON, rejecting=left)
    world.restart()
    assert await world.settle() == ["AnnounceTeacher"]  # the record says that twenty were tried
    for info in list(MemoryBlobs.list(world.blobs, refits_prefix(LINE, PRODUCT))):
        MemoryBlobs.delete(world.blobs, info.key)  # as after a crash before the record
    assert "FitTeacher" in await world.settle()  # of the same normals, so the same weights
    assert world.teacher() == first
    world.add_normals(50)
    await world.settle()
    assert len(world.teacher().normals) == 50


async def test_a_normal_that_cannot_be_read_does_not_have_the_teacher_fitted_for_ever() -> None:
    world = World()
    world.serve.unreadable = {capture(3, intent=Intent.NORMAL).capture_id}
    world.add_normals(20)
    assert await world.settle() == ["FitTeacher", "BackfillLine"]
    world.restart()
    assert await world.settle() == ["AnnounceTeacher"]  # its record says that twenty were tried
    assert world.pointer() is not None


async def test_normals_that_are_no_images_are_refused_until_there_are_more() -> None:
    world = World()
    world.serve.unreadable = {capture(number, intent=Intent.NORMAL).capture_id for number in range(10)}
    world.add_normals(10)
    assert await world.settle() == ["FitTeacher"]
    world.add_normals(12)
    assert await world.settle() == ["FitTeacher", "BackfillLine"]


async def test_a_teacher_that_this_code_cannot_open_is_fitted_anew() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    names = [capture(number, intent=Intent.NORMAL).capture_id for number in range(10)]
    world.release(manifest_of(names, decoder_version=DECODER_VERSION + 1))
    world.restart()
    assert await world.settle() == ["AnnounceTeacher", "FitTeacher"]
    assert world.teacher().decoder_version == DECODER_VERSION


async def test_a_process_that_starts_tells_of_its_teachers_again() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    world.restart()
    assert await world.settle() == ["AnnounceTeacher"]
    assert [told.revision for told in world.releases()] == [1, 1]


async def test_of_a_teacher_that_another_replica_released_this_one_tells_too() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    world.release(manifest_of(["c" * 32] * 10))
    assert await world.settle() == ["AnnounceTeacher"]
    assert [told.revision for told in world.releases()] == [1, 2]


@pytest.mark.parametrize("moment", range(40))
async def test_killed_at_any_moment_the_next_process_finishes_the_work(moment: int) -> None:
    world = World()
    world.add_normals(10)
    captures = {world.add(capture(number, minutes=-30)).capture_id for number in range(3)}
    world.blobs.lives, world.producer.lives = moment // 8, moment % 8
    try:
        await world.settle()
    except* ProcessKilled:
        pass
    world.restart()
    await world.settle()
    assert len(world.teacher().normals) == 10
    assert {mask.capture_id for mask in world.masks()} == captures
    assert world.releases()[-1].weights == world.pointer().weights  # type: ignore[union-attr]


@pytest.mark.parametrize("damaged", ["pointer", "manifest", "line"])
async def test_a_record_that_was_damaged_by_hand_is_reported_with_its_key(damaged: str) -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    key = {
        "pointer": weights_pointer_key("teacher", LINE, PRODUCT),
        "manifest": manifest_key(LINE, PRODUCT, world.teacher().weights),
        "line": line_pointer_key(LINE),
    }[damaged]
    MemoryBlobs.put(world.blobs, key, b"{}")
    world.restart()
    with pytest.raises(CorruptError):  # siad.runtime.reconcile puts off this line and goes on with the others
        await world.observe()


async def test_weights_that_the_scorer_stored_elsewhere_are_not_released() -> None:
    world = World()
    world.add_normals(10)
    world.serve.loses_weights = True
    with pytest.raises(MissingError):
        await world.settle()
    assert world.pointer() is None
    world.serve.loses_weights = False
    world.restart()
    assert await world.settle() == ["FitTeacher", "BackfillLine"]


async def test_a_teacher_of_a_removed_method_is_fitted_again() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    names = [capture(number, intent=Intent.NORMAL).capture_id for number in range(10)]
    world.release(replace(manifest_of(names), method="removed-method"))
    world.restart()
    assert await world.settle() == ["AnnounceTeacher", "FitTeacher"]
    assert world.teacher().method == manifest_of(names).method


async def test_an_object_with_a_foreign_key_among_the_normals_is_ignored() -> None:
    world = World()
    world.add_normals(10)
    MemoryBlobs.put(world.blobs, "normals/notes.txt", b"by hand")
    assert await world.works.names() == [UNIT]


async def test_a_broker_that_is_away_delays_the_word_and_not_the_pointer() -> None:
    world = World()
    world.add_normals(10)
    world.producer.down = True
    with pytest.raises(TransientError):
        await world.settle()
    assert world.pointer() is not None
    world.producer.down = False
    assert await world.settle() == ["AnnounceTeacher", "BackfillLine"]
