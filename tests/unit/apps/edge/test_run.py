"""The watch over a folder in memory: order, outages, refusals, restarts, the end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from siad.apps.edge.names import NameProblem, SerialPattern
from siad.apps.edge.plan import FileState
from siad.apps.edge.run import ONCE_TIMEOUT_S
from siad.apps.edge.upload import UploadOutcome, UploadResponse
from tests.unit.apps.edge.watched import World, picture

WorldOf = Callable[..., World]
DENIED = "can't be read: Permission denied; check the owner and the mode of the file and its folders"


@pytest.fixture
def world_of(tmp_path: Path) -> Iterator[WorldOf]:
    made: list[World] = []

    def make(**ways: object) -> World:
        made.append(World(tmp_path / f"{len(made)}.sqlite", **ways))
        return made[-1]

    yield make
    for world in made:
        world.end()


async def test_files_go_oldest_first_each_once(world_of: WorldOf) -> None:
    world = world_of(parallel=1)
    for name in ("c.png", "a.png", "b.png"):
        world.folder.put(name, picture(len(name)))
    await world.step(4)
    assert world.ingest.order == ["c.png", "a.png", "b.png"]
    assert world.folder.looks == world.ingest.order  # what is known is never read again


async def test_the_same_image_twice_is_two_captures_and_another_in_its_place_a_third(world_of: WorldOf) -> None:
    world = world_of()
    world.folder.put("a.png", picture(1))
    world.folder.put("b.png", picture(1))
    await world.step(2)
    world.folder.put("a.png", picture(2))
    await world.step(2)
    assert len(world.ingest.captures) == 3


async def test_a_file_written_again_as_it_was_is_the_same_unless_each_writing_counts(world_of: WorldOf) -> None:
    for is_new, count in ((False, 1), (True, 2)):
        world = world_of(is_new=is_new)
        world.folder.put("a.png", picture(1))
        await world.settle()
        world.folder.put("a.png", picture(1))
        await world.settle()
        assert len(world.ingest.captures) == count


async def test_a_file_still_being_written_waits_and_blocks_no_other_file(world_of: WorldOf) -> None:
    world = world_of()
    data = picture(1, ".bmp")
    world.folder.put("slow.bmp", data[:100])
    world.folder.put("done.png", picture(2))
    await world.step(10)
    assert world.ingest.order == ["done.png"]
    world.folder.put("slow.bmp", data)
    await world.step()
    assert world.ingest.order == ["done.png"]
    await world.step(4)
    assert world.ingest.order == ["done.png", "slow.bmp"]


async def test_captured_at_is_the_files_time_or_that_of_its_name(world_of: WorldOf) -> None:
    world = world_of()
    written = world.clock.now()
    world.folder.put("a.png", picture(1))
    await world.step()
    (upload,) = world.ingest.captures.values()
    assert upload.captured_at == written
    assert upload.is_time_guessed


async def test_names_that_do_not_say_all_are_told_and_counted_once_each(world_of: WorldOf) -> None:
    pattern = SerialPattern(r"(?P<serial>[A-Z0-9]+)_(?P<captured_at>[0-9-]+)", zone=ZoneInfo("Europe/Berlin"))
    world = world_of(serials=pattern, parallel=1)
    written = world.clock.now()
    world.ingest.is_away = True
    for number, name in enumerate(
        ("A1_20251026-023000.png", "A2_20251026-0230.png", "A3.png", "A4_20251026-120000.png")
    ):
        world.folder.put(name, picture(number))
        await world.step()
    world.ingest.is_away = False
    await world.step(3, seconds=20)
    times = {upload.serial: upload.captured_at for upload in world.ingest.captures.values()}
    assert times["A1"] == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)  # written on another day: the first of the two
    assert times["A4"] == datetime(2025, 10, 26, 11, tzinfo=UTC)
    assert (times["A2"] or written) - written < timedelta(seconds=10)
    assert world.watch.counts.names == {
        NameProblem.REPEATED_HOUR: 1,
        NameProblem.NO_TIME: 1,
        NameProblem.NO_SERIAL: 1,
    }
    said = world.text.getvalue()
    assert said.count("is in the hour that Europe/Berlin repeats: read as 02:30:00+0200, the first of the two") == 1
    assert said.count("'20251026-0230' is not a time") == 1


async def test_a_name_of_a_clock_far_off_is_refused_until_it_changes(world_of: WorldOf) -> None:
    pattern = SerialPattern(r"(?P<serial>[A-Z0-9]+)_(?P<captured_at>[0-9-]+)", zone=UTC)
    world = world_of(serials=pattern)
    world.folder.put("A1_00010101000000.png", picture(1))
    await world.settle()
    assert world.ingest.order == []
    (entry,) = world.watch.refused().values()
    assert (entry.code, "before 2000-01-01" in entry.detail) == ("past-time", True)
    assert world.text.getvalue().count("A1_00010101000000.png  refused: in its name, '00010101000000' is before") == 1


async def test_an_outage_is_told_once_and_loses_nothing(world_of: WorldOf) -> None:
    world = world_of(parallel=1)
    world.ingest.is_away = True
    for number in range(5):
        world.folder.put(f"{number}.png", picture(number))
        await world.step()
    waits = [await world.watch.step(world.stop) for _ in range(8)]
    assert waits[-1] > 4.0  # it asks ever less often
    world.ingest.is_away = False
    await world.step(2)
    assert world.ingest.order == [f"{number}.png" for number in range(5)]
    said = world.text.getvalue()
    assert (said.count("does not answer"), said.count("resolved after")) == (1, 1)


async def test_a_folder_that_goes_away_and_comes_back_is_told_once(world_of: WorldOf) -> None:
    world = world_of()
    world.folder.put("a.png", picture(1))
    await world.step()
    world.folder.is_away = True
    await world.step(5)
    world.folder.is_away = False
    world.folder.put("b.png", picture(2))
    await world.step(2)
    assert world.ingest.order == ["a.png", "b.png"]
    said = world.text.getvalue()
    assert (said.count("No such file"), said.count("resolved after")) == (1, 1)


async def test_what_is_refused_is_asked_once_until_it_changes(world_of: WorldOf) -> None:
    world = world_of()
    world.ingest.problems = [
        UploadResponse(outcome=UploadOutcome.REFUSED, code="capture-differs", detail="other bytes")
    ]
    world.folder.put("a.png", picture(1))
    await world.settle()
    assert world.ingest.order == []
    assert world.watch.refused()["a.png"].code == "capture-differs"
    world.folder.put("a.png", picture(1))  # touched: try again
    await world.step(2)
    assert world.ingest.order == ["a.png"]
    assert world.watch.refused() == {}


async def test_one_file_in_trouble_is_tried_again_and_blocks_no_other_file(world_of: WorldOf) -> None:
    world = world_of(parallel=1)
    world.ingest.problems = [UploadResponse(outcome=UploadOutcome.RETRY, code="bug", detail="our fault")]
    world.folder.put("odd.png", picture(1))
    world.folder.locked.add("locked.png")
    world.folder.put("locked.png", picture(2))
    world.folder.put("fine.png", picture(3))
    await world.step()
    await world.settle()
    assert world.ingest.order == ["fine.png", "odd.png"]
    assert world.watch.unsent() == {"locked.png": DENIED}
    world.folder.locked.clear()
    await world.settle()
    assert world.watch.unsent() == {}


async def test_killed_between_hand_over_and_journal_it_makes_no_second_capture(world_of: WorldOf) -> None:
    world = world_of()
    world.folder.put("a.png", picture(1))
    world.ingest.kills = 1
    await world.step(3)
    assert world.ingest.order == ["a.png", "a.png"]
    assert len(world.ingest.captures) == 1
    assert world.watch.counts.repeats == 1


async def test_what_is_handed_over_is_moved_also_after_a_restart(world_of: WorldOf) -> None:
    world = world_of(is_moving=True)
    world.folder.put("a.png", picture(1))
    await world.step()
    world.end()
    world.start()
    await world.step()
    assert world.folder.files == {}
    assert list(world.folder.moved.values()) == [picture(1)]
    assert world.ingest.order == ["a.png"]


async def test_a_file_overwritten_before_it_is_moved_is_handed_over_too(world_of: WorldOf) -> None:
    world = world_of(is_moving=True)
    world.folder.put("a.png", picture(1))
    await world.step()
    world.folder.put("a.png", picture(2))
    await world.step(4)
    assert sorted(world.folder.moved.values()) == [picture(2)]
    assert len(world.ingest.captures) == 2


async def test_a_file_without_name_or_content_of_an_image_is_left_alone(world_of: WorldOf) -> None:
    world = world_of()
    world.folder.put("readme", b"hello")
    world.folder.put("frame", picture(1))
    await world.settle()
    assert world.ingest.order == ["frame"]
    assert world.text.getvalue().count("not an image by its content") == 1
    assert world.watch.unsent() == {}


async def test_once_ends_when_what_was_there_is_done(world_of: WorldOf) -> None:
    world = world_of(is_once=True, is_moving=True)
    for number in range(3):
        world.folder.put(f"{number}.png", picture(number))
    world.folder.put("cut.png", picture(9)[:40])
    await world.watch.step(world.stop)
    world.folder.put("late.png", picture(7))
    await world.watch.run(world.stop)
    assert sorted(world.ingest.order) == ["0.png", "1.png", "2.png"]
    assert (list(world.watch.refused()), world.watch.unsent()) == (["cut.png"], {})
    assert set(world.folder.files) == {"late.png", "cut.png"}


async def test_once_gives_up_when_nothing_moves_on(world_of: WorldOf) -> None:
    world = world_of(is_once=True)
    world.ingest.is_away = True
    world.folder.put("a.png", picture(1))
    await world.watch.run(world.stop)
    assert ONCE_TIMEOUT_S <= world.clock.monotonic() < ONCE_TIMEOUT_S + 20
    assert world.watch.unsent() == {"a.png": "ingest accepts no images: http://ingest does not answer"}


async def test_once_gives_up_a_file_that_can_not_be_read(world_of: WorldOf) -> None:
    world = world_of(is_once=True)
    world.folder.put("a.png", picture(1))
    world.folder.locked.add("a.png")
    await world.watch.run(world.stop)
    assert world.clock.monotonic() < 20
    assert world.watch.unsent() == {"a.png": DENIED}


async def test_many_files_are_told_in_few_lines(world_of: WorldOf) -> None:
    world = world_of()
    for number in range(60):
        world.folder.put(f"{number}.png", picture(number))
    await world.step()
    assert len(world.ingest.captures) == 60
    lines = world.text.getvalue().splitlines()
    assert len(lines) < 15
    assert lines[-1].endswith("... and 50 more")


async def test_names_that_no_terminal_can_show_are_told_all_the_same(world_of: WorldOf) -> None:
    world = world_of()
    world.folder.put("\udcff\n[red].png", picture(1))
    await world.step()
    assert "\\udcff\\n[red].png  sent as capture" in world.text.getvalue()


async def test_the_journal_forgets_what_is_long_gone(world_of: WorldOf) -> None:
    world = world_of()
    world.folder.put("gone.png", picture(1))
    world.folder.put("here.png", picture(2))
    await world.step()
    del world.folder.files["gone.png"]
    world.clock.advance(31 * 86_400)
    await world.step()
    known = world.journal.entries()
    assert list(known) == ["here.png"]
    assert known["here.png"].state is FileState.HANDED


async def test_a_lost_journal_costs_time_and_no_capture(world_of: WorldOf, tmp_path: Path) -> None:
    world = world_of()
    world.folder.put("a.png", picture(1))
    await world.step()
    again = world_of()
    again.folder, again.ingest = replace(world.folder, clock=again.clock), world.ingest
    again.end()
    again.start()
    await again.step()
    assert (len(world.ingest.captures), again.watch.counts.repeats) == (1, 1)
