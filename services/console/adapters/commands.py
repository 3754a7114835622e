"""Commands of people: stored, then published on the bus."""

import asyncio
from collections.abc import Sequence

import structlog

from services.console.domain.commands import CommandRefusedError, CommandRequest
from siad.audit.rollback import Rollback, choose_rollback
from siad.contracts.codec import encode
from siad.contracts.commands import CommandGiven, CommandKind, CommandOutcome
from siad.contracts.errors import TransientError
from siad.contracts.events import WeightsKind
from siad.contracts.place import Place
from siad.contracts.topics import COMMAND
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.clock import Clock
from siad.runtime.store.commands import StoredCommands
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry

log = structlog.get_logger()


class CommandWriter:
    """The port ``Commands``: the record first, then the event.

    What a crash or a broker that is away left unpublished is published by ``announce``. A stage that gets a command
    twice carries it out once.
    """

    def __init__(self, blobs: AsyncBlobs, producer: Producer, clock: Clock) -> None:
        self._blobs, self._producer, self._clock = blobs, producer, clock
        self._stored, self._registry = StoredCommands(blobs), Registry(blobs.blobs)
        self._unpublished: dict[str, CommandGiven] = {}
        self._is_healed = False

    async def give(self, request: CommandRequest) -> CommandGiven:
        """Store and publish a command; a repeat returns the stored one."""
        place = Place(request.line, request.product)
        target = await self._target(place, request.weights) if request.kind is CommandKind.ROLLBACK else None
        command = request.to_command(target, at=self._clock.now())
        stored = await self._stored.put(command)
        if (stored.line, stored.product, stored.kind) != (command.line, command.product, command.kind):
            msg = f"command {command.command_id} is another one; nothing was done. Send a new id"
            raise CommandRefusedError(msg)
        self._unpublished[stored.command_id] = stored
        try:
            await self._publish([stored])
        except TransientError as error:
            log.warning("command_waits", command_id=stored.command_id, reason=str(error))
        return stored

    async def newest(self, line: str, count: int) -> list[tuple[CommandGiven, CommandOutcome | None]]:
        """Read the newest commands of a line, newest first."""
        return await self._stored.newest(line, count)

    async def announce(self) -> None:
        """Publish what is outstanding: at the start all without an outcome.

        Raises:
            TransientError: the store or the broker is unavailable.
        """
        if not self._is_healed:
            self._unpublished |= {one.command_id: one for one in await self._stored.outstanding()}
            self._is_healed = True
        await self._publish(list(self._unpublished.values()))

    async def _publish(self, commands: Sequence[CommandGiven]) -> None:
        if not commands:
            return
        await self._producer.publish(
            [Message(topic=COMMAND.name, key=str(Place(one.line, one.product)), value=encode(one)) for one in commands]
        )
        for one in commands:
            self._unpublished.pop(one.command_id, None)

    async def _target(self, place: Place, weights: str) -> Rollback:
        """Choose what a rollback moves, as the stage will check it."""
        segmenter, teacher, barred = await asyncio.gather(
            self._blobs.run(self._registry.pointer, WeightsKind.SEGMENTER, place),
            self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, place),
            self._blobs.run(Quarantine(self._blobs.blobs).read, place.line),
        )
        try:
            return choose_rollback(segmenter, teacher, to=weights, barred=barred.weights)
        except (LookupError, ValueError) as error:
            raise CommandRefusedError(str(error)) from error
