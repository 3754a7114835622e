"""HTTP route of the labeler: the teachers in service."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from services.labeler.ports import TeacherReports


def make_router(teachers: TeacherReports) -> APIRouter:
    """Build the routes of the labeler."""
    router = APIRouter()

    @router.get("/v1/teachers", tags=["teachers"])
    async def in_service() -> dict[str, Any]:
        """List the teacher in service of each line and product.

        `promise` says which false-reject rate to expect. `profile` says what its normals are: an image that does not
        fit them gets the verdict unknown. `left_out` and `doubted` are capture ids of normals that may
        show defects: check those parts. `learning_paused` says why the line learns nothing, `last_fit` what the gate
        found of the latest fit. `odd_normals` are the few of another size or other channels than the rest. `serials`
        gives the serial of each such part by capture id. A teacher stays
        listed after a segmenter took over its line, because it still draws the pseudo-masks.
        """
        return {"teachers": [asdict(teacher) for teacher in await teachers.facts()]}

    return router
