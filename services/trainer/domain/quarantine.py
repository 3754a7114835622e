"""Ledger and training sets without what is in quarantine. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerRow
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.quarantine import QuarantineIndex

NAMES_MAX = 3  # that a reason shows


def without_tainted(rows: Iterable[LedgerRow], quarantine: QuarantineIndex) -> list[LedgerRow]:
    """Leave out pseudo-masks of captures, or by weights, in quarantine."""
    return [row for row in rows if row.capture_id not in quarantine.captures and row.weights not in quarantine.weights]


def unsure_where_tainted(rows: Iterable[CorrectionRow], quarantine: QuarantineIndex) -> list[CorrectionRow]:
    """Take corrections in quarantine for unsure.

    So the capture leaves the set until a person corrects it again, rather than return to what was corrected before.
    """
    return [
        replace(row, verdict=CorrectionVerdict.UNSURE, mask_uri="", mask_sha256="")
        if quarantine.has_correction(row.capture_id, row.revision)
        else row
        for row in rows
    ]


def describe_taint(members: TrainingSetMembers, teacher: str, quarantine: QuarantineIndex) -> str:
    """Say what of a training set is in quarantine; empty for nothing."""
    captures = sorted(set(members.captures) & set(quarantine.captures))
    corrections = sorted(set(members.corrections) & set(quarantine.corrections))
    weights = sorted({teacher, *members.teachers} & set(quarantine.weights))
    kinds = (("captures", captures), ("corrections", corrections), ("weights", weights))
    found = [f"{kind} {_first(names)}" for kind, names in kinds if names]
    return f"its training set holds {', '.join(found)}, which are in quarantine" if found else ""


def _first(names: Sequence[str]) -> str:
    more = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
