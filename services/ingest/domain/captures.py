"""Identity of an upload, and whether a repeat matches. Pure."""

from dataclasses import dataclass
from datetime import datetime

from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import UploadClaim
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, ImageId, capture_id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedImage:
    """Identity and address of the bytes of an upload."""

    image_id: ImageId
    image_uri: str
    size_bytes: int
    received_at: datetime


def identify(claim: UploadClaim, line: str, image_id: ImageId) -> CaptureId:
    """Compute the capture id of an upload.

    It is made of the sender's key, otherwise of serial and camera time, otherwise of the bytes with one of the two.
    """
    return capture_id_of(
        line,
        image_id=image_id,
        idempotency_key=claim.idempotency_key,
        serial=claim.serial,
        captured_at=claim.captured_at,
    )


def make_receipt(
    claim: UploadClaim, image: ReceivedImage, *, settings: LineChanged, capture_id: CaptureId
) -> ImageStored:
    """Build the receipt of a new capture."""
    return ImageStored(
        capture_id=capture_id,
        image_id=image.image_id,
        image_uri=image.image_uri,
        size_bytes=image.size_bytes,
        line=settings.line,
        product=settings.product,
        line_revision=settings.revision,
        captured_at=claim.captured_at or image.received_at,
        received_at=image.received_at,
        intent=claim.intent,
        serial=claim.serial,
    )


def require_same_capture(first: ImageStored, claim: UploadClaim, image_id: ImageId) -> None:
    """Refuse a repeat that differs from the first upload.

    An inspected capture may be labelled normal later, by sending it again. A normal can't be sent for inspection,
    because its first event was published, and normals get no verdict.

    Raises:
        RequestRefusedError: idempotency-key-reused, capture-differs, or capture-is-normal.
    """
    capture = f"capture {first.capture_id}, received {first.received_at.isoformat()}"
    if first.image_id != image_id:
        found = f"names {capture}, whose image is {first.image_id}; these bytes are {image_id}; nothing was stored"
        if claim.idempotency_key is not None:
            detail = f"Idempotency-Key {claim.idempotency_key!r} {found}. Use another key for each exposure"
            raise RequestRefusedError(RefusalReason.KEY_REUSED, detail)
        detail = f"serial {claim.serial!r} at {first.captured_at.isoformat()} {found}. Correct serial or captured_at"
        raise RequestRefusedError(RefusalReason.CAPTURE_DIFFERS, detail)
    if first.intent is Intent.NORMAL and claim.intent is not Intent.NORMAL:
        detail = (
            f"this is {capture} as a normal, and normals get no verdict; nothing was stored. To have the image judged "
            "as another exposure, send another Idempotency-Key or captured_at"
        )
        raise RequestRefusedError(RefusalReason.CAPTURE_IS_NORMAL, detail)
