"""Commands of people and their outcomes in the store."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.commands import CommandGiven, CommandOutcome
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT

log = structlog.get_logger()

JSON: Final = "application/json"
COMMANDS: Final = "commands"
GIVEN: Final = "given"
OUTCOME: Final = "outcome"


class StoredCommands:
    """Writes commands and outcomes once, and reads them."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def put(self, command: CommandGiven) -> CommandGiven:
        """Store a command; return the stored one, which a repeat finds.

        Raises:
            CorruptError: the stored one can't be read.
        """
        key = keys.command_key(command.line, command.command_id, GIVEN)
        try:
            await self._blobs.put(key, command.to_json(), content_type=JSON, condition=IF_ABSENT)
        except ConflictError:
            return CommandGiven.from_json((await self._blobs.get(key)).data)
        return command

    async def outcome(self, line: str, command_id: str) -> CommandOutcome | None:
        """Read the outcome of a command; None while there is none.

        Raises:
            CorruptError: it can't be read.
        """
        try:
            blob = await self._blobs.get(keys.command_key(line, command_id, OUTCOME))
        except MissingError:
            return None
        return CommandOutcome.from_json(blob.data)

    async def put_outcome(self, line: str, outcome: CommandOutcome) -> None:
        """Store how a command ended; the first one counts."""
        key = keys.command_key(line, outcome.command_id, OUTCOME)
        try:
            await self._blobs.put(key, outcome.to_json(), content_type=JSON, condition=IF_ABSENT)
        except ConflictError:
            log.info("command_answered_before", line=line, command_id=outcome.command_id)

    async def newest(self, line: str, count: int) -> list[tuple[CommandGiven, CommandOutcome | None]]:
        """Read the newest commands of a line, newest first.

        Unreadable ones are logged and left out.
        """
        given, answered = await self._names(keys.prefix_of_line_objects(COMMANDS, line))
        return await self._read(list(reversed(given[-count:])), answered)

    async def outstanding(self) -> list[CommandGiven]:
        """Read every command without an outcome, oldest first."""
        given, answered = await self._names(f"{COMMANDS}/")
        waiting = [name for name in given if name not in answered]
        return [command for command, _ in await self._read(waiting, answered)]

    async def _names(self, prefix: str) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
        given, answered = [], set()
        for info in await self._blobs.list_all(prefix):
            _, line, command_id, name = info.key.split("/")
            if name == f"{OUTCOME}.json":
                answered.add((line, command_id))
            else:
                given.append((line, command_id))
        return sorted(given), answered

    async def _read(
        self, names: Sequence[tuple[str, str]], answered: set[tuple[str, str]]
    ) -> list[tuple[CommandGiven, CommandOutcome | None]]:
        found = await asyncio.gather(*(self._read_one(*name, is_answered=name in answered) for name in names))
        return [one for one in found if one is not None]

    async def _read_one(
        self, line: str, command_id: str, *, is_answered: bool
    ) -> tuple[CommandGiven, CommandOutcome | None] | None:
        try:
            blob = await self._blobs.get(keys.command_key(line, command_id, GIVEN))
            command = CommandGiven.from_json(blob.data)
            return command, await self.outcome(line, command_id) if is_answered else None
        except (CorruptError, MissingError) as error:
            log.error("command_unreadable", line=line, command_id=command_id, reason=str(error))
            return None
