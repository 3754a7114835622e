"""HTTP route of the labeler: teachers in service, and their fits."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from services.labeler.domain.fit_notes import FitNotes
from services.labeler.ports import TeacherReports


def make_router(teachers: TeacherReports, notes: FitNotes) -> APIRouter:
    """Build the routes of the labeler."""
    router = APIRouter()

    @router.get("/v1/teachers", tags=["teachers"])
    async def in_service() -> dict[str, Any]:
        """List the teacher in service of each line and product.

        `promise` says which false-reject rate to expect. `profile` says what its normals are: an image that does not
        fit them gets the verdict unknown. `left_out` and `doubted` are capture ids of normals that may
        show defects: check those parts. `learning_paused` says why the line learns nothing, `no_stream` why refits
        learn nothing of the stream, `last_fit` what the gate found of the latest fit.
        `odd_normals` are the few of another size or other channels than the rest. `serials`
        gives the serial of each such part by capture id. A teacher stays
        listed after a segmenter took over its line, because it still draws the pseudo-masks. `quarantine` says why a
        teacher in service is in quarantine. Of these two lists, `answered` are captures that a person called good, and
        `of_stream` captures that only scored low.

        `fits` are those of this replica that are under way (`since`), can't begin (`short_of`) or were `refused`.
        """
        return {
            "teachers": [asdict(teacher) for teacher in await teachers.facts()],
            "fits": [asdict(note) for note in notes.all()],
        }

    return router
