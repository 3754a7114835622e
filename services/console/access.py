"""Access table of the console: what each of its routes needs.

A new route gets a line here: VIEW to read, ANSWER to say what a part is, CONFIGURE to change lines, weights or data,
ADMINISTER for accounts. With ``{line}`` in its address the permission is needed on that line, otherwise on every line;
a route that leaves out the lines which the sender may not view (``principal_of(request).allows(...)``) has VIEW_SOME.
``tests/architecture/test_access.py`` names a route without a line.
"""

from collections.abc import Mapping
from typing import Final

from siad.runtime.access.table import ADMINISTER, ANSWER, CONFIGURE, INGEST, OPEN, VIEW, VIEW_SOME, RouteNeed

ROUTES: Final[Mapping[str, RouteNeed]] = {
    "GET /": OPEN,
    "GET /assets/{name}": OPEN,
    "POST /v1/session": OPEN,
    "GET /v1/session": OPEN,  # says itself whether there is one
    "DELETE /v1/session": OPEN,
    "GET /v1/sign-in-ways": OPEN,
    "GET /v1/oidc/sign-in": OPEN,
    "GET /v1/oidc/callback": OPEN,
    "GET /v1/sessions": OPEN,  # of the person who is signed in
    "DELETE /v1/sessions/{session}": OPEN,
    "POST /v1/sign-in-links": ADMINISTER,
    "GET /v1/lines": VIEW_SOME,
    "GET /v1/lines/{line}/review": VIEW,
    "GET /v1/lines/{line}/review/estimates": VIEW,
    "GET /v1/lines/{line}/captures": VIEW,
    "PUT /v1/lines/{line}/captures/{capture}/lease": VIEW,
    "DELETE /v1/lines/{line}/captures/{capture}/lease": VIEW,
    "PUT /v1/lines/{line}/captures/{capture}/deferral": ANSWER,
    "DELETE /v1/lines/{line}/captures/{capture}/deferral": ANSWER,
    "GET /v1/lines/{line}/captures/{capture}/image": VIEW,
    "GET /v1/lines/{line}/captures/{capture}/thumbnail": VIEW,
    "GET /v1/lines/{line}/captures/{capture}/masks/{name}": VIEW,
    "GET /v1/lines/{line}/captures/{capture}/score-maps/{weights}": VIEW,
    "GET /v1/lines/{line}/captures/{capture}/corrections": VIEW,
    "POST /v1/lines/{line}/captures/{capture}/corrections": ANSWER,
    "GET /v1/lines/{line}/normals": VIEW,
    "GET /v1/lines/{line}/export": VIEW,
    "GET /v1/lines/{line}/export/count": VIEW,
    "POST /v1/lines/{line}/import": CONFIGURE,
    "GET /v1/lines/{line}/commands": VIEW,
    "PUT /v1/lines/{line}/commands/{command}": CONFIGURE,
    "GET /v1/lines/{line}/weights": VIEW,
    "GET /v1/overview": VIEW_SOME,
    "GET /v1/lines/{line}/settings": VIEW,
    "PUT /v1/lines/{line}/settings": CONFIGURE,
    "POST /v1/lines/{line}/images": INGEST,
    "GET /v1/lines/{line}/threshold-preview": VIEW,
    "GET /v1/status": VIEW_SOME,
    "GET /v1/status/boards/{board}": VIEW,
    "GET /v1/lines/{line}/status/boards/{board}": VIEW,
    "GET /v1/runbooks/{alert}": VIEW_SOME,
}
