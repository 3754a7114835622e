"""Access table of the trainer: what each of its routes needs."""

from collections.abc import Mapping
from typing import Final

from siad.runtime.access.table import VIEW, RouteNeed

ROUTES: Final[Mapping[str, RouteNeed]] = {"GET /v1/lines/{line}/runs": VIEW}
