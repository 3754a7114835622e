"""Access table of ingest: what each of its routes needs."""

from collections.abc import Mapping
from typing import Final

from siad.runtime.access.table import CONFIGURE, INGEST, VIEW, RouteNeed

ROUTES: Final[Mapping[str, RouteNeed]] = {
    "GET /v1/lines": VIEW,
    "GET /v1/lines/{line}": VIEW,
    "PUT /v1/lines/{line}": CONFIGURE,
    "DELETE /v1/lines/{line}": CONFIGURE,
    "POST /v1/lines/{line}/images": INGEST,
    "GET /v1/books": VIEW,
}
