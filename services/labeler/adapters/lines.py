"""Lines as the labeler needs them, and marks of finished backfills."""

from collections.abc import Sequence

import structlog

from siad.contracts.documents import BackfillList, BackfillMark
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored, LineChanged
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.keys import backfill_key, backfill_list_key, capture_key
from siad.contracts.labelling import share_of
from siad.contracts.learning import LearningMode
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.lines import StoredLines

log = structlog.get_logger()


class LabelerLines(StoredLines):
    """Reads lines, normals and captures; keeps the marks of finished backfills."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        super().__init__(blobs)
        self._marks = blobs
        self._latest: dict[str, tuple[int, LineChanged | None]] = {}  # by line, of the revision of its latest capture

    async def fit_settings(self, line: str) -> FitSettings | None:
        """Read a line's request for its teacher; None for a removed line."""
        settings = await self.settings(line)
        return None if settings is None else FitSettings.of_line(settings)

    async def size_rule(self, event: ImageStored) -> SizeRule:
        """Return the rule of the settings that a capture names.

        Where they can't be read it is that of the normals, which accepts less.
        """
        settings = await self._settings_at(event.line, event.line_revision)
        return SizeRule.NORMALS if settings is None else SizeRule.of(settings.sizes)

    async def labelled_share(self, line: str, revision: int) -> float:
        """Return the share of the settings at a revision.

        Where they can't be read it is the default.
        """
        settings = await self._settings_at(line, revision)
        return share_of(0.0 if settings is None else settings.labelled_share)

    async def _settings_at(self, line: str, revision: int) -> LineChanged | None:
        """Read the settings at a revision; None where they can't be read."""
        known, settings = self._latest.get(line, (0, None))
        if known != revision:
            try:
                settings = await self.revision(line, revision)
            except (MissingError, CorruptError) as error:
                log.warning("line_settings_unread", line=line, revision=revision, reason=str(error))
                settings = None
            self._latest[line] = (revision, settings)
        return settings

    async def learning(self, line: str) -> LearningMode:
        """Read whether a person lets a line learn."""
        settings = await self.settings(line)
        return LearningMode.OFF if settings is None else LearningMode.of(settings.learning)

    async def shards(self, line: str) -> int:
        """Return into how many record keys the line's captures are spread."""
        found = await self.pointer(line)
        return 1 if found is None else found[0].settings.shards

    async def receipts(self, line: str, captures: Sequence[str]) -> list[ImageStored]:
        """Read captures by their ids, in order; log and omit unreadable ones."""
        return await self.receipts_of([capture_key(line, capture_id) for capture_id in captures])

    async def is_backfilled(self, place: Place) -> bool:
        """Whether the captures from before the first teacher were labelled."""
        return await self._marks.head(backfill_key(*place)) is not None

    async def backfill_list(self, place: Place) -> tuple[str, ...] | None:
        """Read the captures that the backfill labels; None before they are chosen."""
        try:
            blob = await self._marks.get(backfill_list_key(*place))
        except MissingError:
            return None
        return BackfillList.from_json(blob.data).captures

    async def set_backfill_list(self, place: Place, captures: tuple[str, ...]) -> None:
        """Store the captures that the backfill labels."""
        data = BackfillList(captures=captures).to_json()
        await self._marks.put(backfill_list_key(*place), data, content_type="application/json")

    async def set_backfilled(self, place: Place, *, weights: WeightsId, captures: int) -> None:
        """Record that they were."""
        data = BackfillMark(weights=weights, captures=captures).to_json()
        await self._marks.put(backfill_key(*place), data, content_type="application/json")
