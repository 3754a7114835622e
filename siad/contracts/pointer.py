"""Pointer to the weights in service for a line and product.

Stages plan by pointers and move them by conditional put; ``siad.runtime.store.registry`` reads and writes them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.json_codec import OMIT_IF_DEFAULT, SKIP, JsonRecord, JsonStyle
from siad.contracts.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer(JsonRecord):
    """Weights of one kind that a line and product have now."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    kind: WeightsKind
    line: str
    product: str
    revision: int  # grows by one with every move
    weights: WeightsId
    released_at: datetime
    status: SegmenterStatus  # a teacher is always SERVING
    history: tuple[str, ...]  # weights of earlier revisions, newest first
    # weights that an operator took out of service, the last first; no plan releases them
    rejected: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    etag: str = field(default="", metadata=SKIP)  # of the stored object; the next conditional put must match it

    @property
    def in_service(self) -> str:
        """Weights that serve; empty where they were withdrawn."""
        return self.weights if self.status is SegmenterStatus.SERVING else ""

    @property
    def place(self) -> Place:
        """Line and product of the weights."""
        return Place(self.line, self.product)
