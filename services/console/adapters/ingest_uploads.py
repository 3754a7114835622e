"""Images of an import, sent to ingest as by any client."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from services.console.adapters.ingest import IngestProxy


class UploadRefusedError(Exception):
    """Ingest refused an image for good; the text is its own."""


class IngestUploads:
    """The port ``ImageSink``."""

    def __init__(self, ingest: IngestProxy) -> None:
        self._ingest = ingest

    @property
    def is_known(self) -> bool:
        """Whether ingest has an address here."""
        return self._ingest.is_known

    async def send(self, line: str, data: bytes, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """Send an image; return its capture id.

        A repeat is the same capture.

        Raises:
            UploadRefusedError: ingest refuses it.
            TransientError: ingest does not respond, or asks to try again.
        """
        path = f"/v1/lines/{line}/images?{urlencode(params)}"
        status, content = await self._ingest.send("POST", path, data, dict(headers))
        try:
            body = json.loads(content)
            if status < 400:
                return str(body["capture_id"])
            detail = str(body["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"ingest answered {status}"
        raise UploadRefusedError(detail)
