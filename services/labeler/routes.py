"""HTTP in: which teachers serve, and what people should know of them."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from services.labeler.adapters.releases import ServingTeachers


def make_router(teachers: ServingTeachers) -> APIRouter:
    """Build the routes of the labeler."""
    router = APIRouter()

    @router.get("/v1/teachers", tags=["teachers"])
    async def in_service() -> dict[str, Any]:
        """By line and product: the teacher, what it promises, and which of its normals it left out or doubted.

        A teacher is told of whether or not a segmenter has taken over from it: it still draws the pseudo-masks.
        ``left_out`` and ``doubted`` are capture ids, ``serials`` the serials of their parts by capture id.
        """
        return {"teachers": [asdict(one) for one in await teachers.facts()]}

    return router
