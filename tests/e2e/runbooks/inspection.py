"""A machine that inspects and does not learn: broker, store, ingest, console and inference, without Ray."""

import os
from typing import Final

from siad.apps.local.machine import Machine, Notify

LEFT_OUT: Final = ("scorer", "labeler", "trainer")
STAGES: Final = ("ingest", "console", "inference")


class InspectionMachine(Machine):
    """As `siad up`, without what fits and trains; its teachers are released from outside."""

    def start_nodes(self, notify: Notify) -> None:
        """Start broker and store."""
        os.environ["RAY_ADDRESS"] = "127.0.0.1:9"  # named, so that no head is started
        super().start_nodes(notify)

    def prepare_stages(self, notify: Notify) -> None:
        """Leave out the stages that learn."""
        super().prepare_stages(notify)
        for name in LEFT_OUT:
            del self.stages[name]

    async def stop_stages(self) -> None:
        """Stop what runs."""
        for stage in self.stages.values():
            await stage.stop()
