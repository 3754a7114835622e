"""Rights on the store, its conditions and its clock."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final

from siad.apps.local.doctor.findings import Finding, fault, ok, warning
from siad.contracts import keys
from siad.contracts.errors import ConflictError, DeniedError, MissingError, TransientError
from siad.runtime.blobs.port import IF_ABSENT, Blobs, PutCondition
from siad.runtime.clock import SYSTEM_CLOCK, Clock

CHECK: Final = "store"
SKEW_WARNING_S, SKEW_FAULT_S = 2.0, 5.0  # the store's times have whole seconds
NOTHING_STORED: Final = "images of {lines} are refused (503), and nothing is judged or learned; images sent before wait"
STALE_ETAG: Final = "0" * 32  # of no object
RIGHTS: Final = (
    "grant ListBucket on the bucket and GetObject, PutObject, PutObjectTagging, DeleteObject and AbortMultipartUpload "
    "on its objects"
)


def check_store(blobs: Blobs, lines: str, *, clock: Clock = SYSTEM_CLOCK) -> Iterator[Finding]:
    """Put, read, replace under conditions, and delete one small object.

    Args:
        blobs: the store, not contacted yet.
        lines: names of the lines, for the effect.
        clock: of this machine.
    """
    key, effect = keys.DOCTOR_PREFIX + uuid.uuid4().hex, NOTHING_STORED.format(lines=lines)
    step = "the bucket"
    try:
        blobs.probe()
        step = "PutObject"
        etag = blobs.put(key, b"siad doctor", condition=IF_ABSENT)
        yield from check_clock(blobs, key, clock.now(), lines)
        ignored = _ignored_conditions(blobs, key, etag)
        step = "GetObject"
        blobs.get(key)
        step = "ListBucket"
        next(iter(blobs.list(key)), None)
        step = "DeleteObject"
        blobs.delete(key)
    except MissingError as error:
        yield fault(
            CHECK, str(error), effect=effect, remedy="create the bucket, or correct SIAD_STORE_BUCKET and the region"
        )
    except DeniedError as error:
        yield fault(CHECK, f"the store denies {step}: {error}", effect=effect, remedy=f"{RIGHTS}; correct the keys")
    except (TransientError, OSError) as error:
        yield fault(
            CHECK,
            f"the store does not answer ({step}): {error}",
            effect=effect,
            remedy="start the store, or restore the network to it; stages resume by themselves",
        )
    else:
        if ignored:
            yield fault(
                CHECK,
                f"the store ignores the condition {ignored} of a put",
                effect="releases of weights and settings of lines may overwrite each other",
                remedy="use a store with conditional puts, such as AWS S3 or SeaweedFS",
            )
        else:
            yield ok(CHECK, f"{blobs.uri('')}: put, conditional put, get, list and delete work")
    finally:
        if step not in ("the bucket", "PutObject"):  # what hangs would hang once more
            with suppress(TransientError, MissingError, OSError):
                blobs.delete(key)


def check_clock(blobs: Blobs, key: str, now: datetime, lines: str) -> Iterator[Finding]:
    """Compare the store's time of a new object with this clock."""
    info = blobs.head(key)
    skew_s = 0.0 if info is None else (info.modified_at - now).total_seconds()
    yield judge_skew("the store's clock", skew_s, lines)


def judge_skew(name: str, skew_s: float, lines: str) -> Finding:
    """Judge how far a clock is from this machine's.

    Args:
        name: of the clock.
        skew_s: seconds that it is ahead; its times have whole seconds.
        lines: names of the lines, for the effect.
    """
    text = f"{name} is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    make = fault if abs(skew_s) > SKEW_FAULT_S else warning
    if abs(skew_s) > SKEW_WARNING_S:
        return make(
            "clocks",
            text,
            effect=f"verdicts on {lines} may count as late, images as sent in the future, leases as expired",
            remedy="let NTP set the clock of both machines",
        )
    return ok("clocks", f"{name} agrees with this machine's to {SKEW_WARNING_S:g} s")


def _ignored_conditions(blobs: Blobs, key: str, etag: str) -> str:
    """Return the condition that the store ignores; empty if none."""
    for name, condition in (("If-None-Match", IF_ABSENT), ("If-Match", PutCondition(STALE_ETAG))):
        try:
            blobs.put(key, b"siad doctor, unconditionally", condition=condition)
        except ConflictError:
            continue
        return name
    blobs.put(key, b"siad doctor, again", condition=PutCondition(etag))
    return ""
