"""Identity of an upload, and whether a repeat matches. Pure."""

from datetime import datetime

from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import UploadClaim
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, ImageId, capture_id_of


def identify(claim: UploadClaim, line: str, image_id: ImageId) -> CaptureId:
    """Compute the capture id of an upload.

    It is made of the sender's key, otherwise of serial and camera time, otherwise of the bytes.
    """
    return capture_id_of(
        line,
        image_id=image_id,
        idempotency_key=claim.idempotency_key,
        serial=claim.serial,
        captured_at=claim.captured_at,
    )


def make_receipt(
    claim: UploadClaim,
    *,
    settings: LineChanged,
    capture_id: CaptureId,
    image_id: ImageId,
    image_uri: str,
    size_bytes: int,
    received_at: datetime,
) -> ImageStored:
    """The receipt of a capture that comes for the first time."""
    return ImageStored(
        capture_id=capture_id,
        image_id=image_id,
        image_uri=image_uri,
        size_bytes=size_bytes,
        line=settings.line,
        product=settings.product,
        line_revision=settings.revision,
        captured_at=claim.captured_at or received_at,
        received_at=received_at,
        intent=claim.intent,
        serial=claim.serial,
    )


def hold_against(first: ImageStored, claim: UploadClaim, image_id: ImageId) -> None:
    """Let a repeat pass only if it is one.

    An inspected capture may be called normal later, by sending it again; a normal can't be sent to be judged, because
    its first word was published and normals get no verdict.

    Raises:
        RefusedError: idempotency-key-reused, capture-differs, or capture-is-normal.
    """
    when = f"capture {first.capture_id}, received {first.received_at.isoformat()}"
    if first.image_id != image_id:
        found = f"names {when}, whose image is {first.image_id}; these bytes are {image_id}; nothing was stored"
        if claim.idempotency_key is not None:
            detail = f"Idempotency-Key {claim.idempotency_key!r} {found}. Give every exposure a key of its own"
            raise RequestRefusedError(RefusalReason.KEY_REUSED, detail)
        detail = f"serial {claim.serial!r} at {first.captured_at.isoformat()} {found}. Correct serial or captured_at"
        raise RequestRefusedError(RefusalReason.CAPTURE_DIFFERS, detail)
    if first.intent is Intent.NORMAL and claim.intent is not Intent.NORMAL:
        detail = (
            f"this is {when} as a normal, and normals get no verdict; nothing was stored. To have the image judged as "
            "another exposure send an Idempotency-Key of its own, or serial and captured_at"
        )
        raise RequestRefusedError(RefusalReason.CAPTURE_IS_NORMAL, detail)
