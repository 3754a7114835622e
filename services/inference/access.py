"""Access table of inference: what each of its routes needs."""

from collections.abc import Mapping
from typing import Final

from siad.runtime.access.table import INSPECT, VIEW, RouteNeed

ROUTES: Final[Mapping[str, RouteNeed]] = {
    "POST /v1/lines/{line}/inspect": INSPECT,
    "GET /v1/weights": VIEW,
}
