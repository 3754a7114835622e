"""Whatever writers, crashes and outages do: every image that stays in the folder is one capture, and no half one is."""

import asyncio
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.apps.edge.watched import World, picture
from tests.unit.in_memory import folder_in_memory

NAMES = st.sampled_from(["a.png", "b.bmp", "c.jpg"])
IMAGES = st.integers(0, 2)
ACTS = st.one_of(
    st.tuples(st.just("begin"), NAMES, IMAGES),  # the first half of a file; the rest comes with "end", or at last
    st.tuples(st.just("end"), NAMES, IMAGES),
    st.tuples(st.just("drop"), NAMES, IMAGES),  # a rename into the folder
    st.tuples(st.just("touch"), NAMES, IMAGES),
    st.tuples(st.just("delete"), NAMES, IMAGES),
    st.tuples(st.just("kill"), NAMES, IMAGES),  # just before or just after ingest has taken the next one
    st.tuples(st.just("copy"), NAMES, IMAGES),  # its time is set last, and the watch is killed just before
    st.tuples(st.just("outage"), NAMES, IMAGES),
    st.tuples(st.just("unmount"), NAMES, IMAGES),
    st.tuples(st.just("look"), NAMES, st.integers(1, 3)),
)


class Writers:
    """What is done to the folder, and what whole images ever lay there."""

    def __init__(self, world: World) -> None:
        self.world, self.halves, self.whole = world, dict[str, bytes](), set[tuple[str, bytes]]()

    async def act(self, what: str, name: str, number: int) -> None:  # noqa: C901 - a list of acts
        data, folder = picture(number, f".{name.rpartition('.')[2]}"), self.world.folder
        match what:
            case "begin":
                self.halves[name] = data
                folder.put(name, data[: len(data) // 2])
            case "end" if name in self.halves:
                self.put(name, self.halves[name])
            case "drop":
                self.put(name, data)
            case "touch" if name in folder.files:
                folder.put(name, folder.files[name][0])
            case "delete":
                folder.files.pop(name, None)
                self.halves.pop(name, None)
            case "kill":
                self.world.ingest.kills, self.world.ingest.is_killed_before = 1, number == 0
            case "copy":
                self.put(name, data)
                self.world.ingest.kills, self.world.ingest.is_killed_before = 1, False
                await self.world.step()
                self.world.folder.put(name, data)
            case "outage":
                self.world.ingest.is_away = not self.world.ingest.is_away
            case "unmount":
                folder.is_away = not folder.is_away
            case "look":
                await self.world.step(number)

    def put(self, name: str, data: bytes) -> None:
        self.whole.add((name, data))
        self.halves.pop(name, None)
        self.world.folder.put(name, data)

    async def finish(self) -> None:
        """Complete every file, end every outage and kill no more."""
        for name, data in list(self.halves.items()):
            self.put(name, data)
        world = self.world
        world.ingest.is_away, world.folder.is_away, world.ingest.kills = False, False, 0
        await world.step(5, seconds=1.0)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(acts=st.lists(ACTS, min_size=12, max_size=30), is_moving=st.booleans())
def test_every_image_that_stays_is_exactly_one_capture(acts: list[tuple[str, str, int]], is_moving: bool) -> None:
    async def live(place: Path) -> None:
        world = World(place, is_moving=is_moving)
        writers = Writers(world)
        for act in acts:
            await writers.act(*act)
        await writers.finish()
        world.end()
        captures = Counter((upload.serial, upload.data) for upload in world.ingest.captures.values())
        assert all(count == 1 for count in captures.values())
        assert captures.keys() <= writers.whole
        assert {(name, data) for name, (data, _) in world.folder.files.items()} <= captures.keys()
        moved = {(path.rpartition("@")[0], data) for path, data in world.folder.moved.items()}
        assert moved <= captures.keys()
        assert not (is_moving and world.folder.files)
        assert world.watch.unsent() == {}

    with folder_in_memory() as folder:
        asyncio.run(live(folder / "journal.sqlite"))
