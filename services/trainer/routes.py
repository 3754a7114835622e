"""HTTP route of the trainer: why a line trains, or does not."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path

from services.trainer.ports import RunReports
from siad.contracts.ids import SLUG


def make_router(reports: RunReports) -> APIRouter:
    """Build the routes of the trainer."""
    router = APIRouter()

    @router.get("/v1/lines/{line}/runs", tags=["runs"])
    async def why(line: Annotated[str, Path(pattern=f"^{SLUG.pattern}$")]) -> dict[str, Any]:
        """Say what a line trains on, or waits for.

        One entry for each product, as of the last plan, at `as_of`. A product is listed once it has a teacher.
        """
        return {"runs": [asdict(report) for report in reports.reports(line)]}

    return router
