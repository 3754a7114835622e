"""Plan which lines to announce on the state topic. Pure.

A line's pointer may have moved without its event, where a process or the broker failed between the two.
"""

from dataclasses import dataclass

from siad.contracts.documents import LineState


@dataclass(frozen=True, slots=True)
class LineAnnouncement:
    """One line in the store and on the state topic."""

    state: LineState | None  # of its pointer; None where it is missing or unreadable
    announced: int | None  # revision on the state topic; None without an event, or after a tombstone
    is_checked: bool  # this process has announced the line once


@dataclass(frozen=True, slots=True)
class AnnounceLine:
    """Publish the present state of a line."""

    state: LineState


def plan(line: LineAnnouncement) -> list[AnnounceLine]:
    """Announce every line once after the start, later only outdated ones.

    The first round does not trust the topic: two announcements may have crossed, so that the older one is the last.
    """
    if line.state is None:
        return []
    revision = line.state.settings.revision
    if line.state.is_gone:
        is_current = line.announced is None or line.announced > revision
    else:
        is_current = line.announced is not None and line.announced >= revision
    return [] if is_current and line.is_checked else [AnnounceLine(line.state)]
