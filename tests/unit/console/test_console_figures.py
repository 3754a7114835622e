"""Figures of a line that the console exports: estimates, budget and review debt."""

from prometheus_client import REGISTRY

from services.console.domain.captures import CaptureEntry
from services.console.domain.review import review_debt
from services.console.reconcile import export_figures
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.place import Place
from tests.events import make_line_changed
from tests.unit.console.test_console_thresholds import answer, judge
from tests.unit.console.world import LINE_NAME, PRODUCT, Plant, make_ports

PLACE = Place(LINE_NAME, PRODUCT)
LINES = [make_line_changed(line=LINE_NAME, product=PRODUCT, false_reject_budget=0.02)]


def exported(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"siad_console_{name}", {"line": LINE_NAME, **labels})


def ratio(name: str, kind: str) -> float | None:
    return exported(f"{name}_ratio", product=PRODUCT, kind=kind)


async def test_estimates_and_debt_follow_the_answers() -> None:
    plant = Plant()
    await plant.create()
    async with plant.bus.producer() as producer:
        ports = make_ports(plant.blobs, producer, plant.clock)
        judge(ports, [1.0, 1.7, 2.3, 2.5, 0.2])  # the threshold is 2
        await export_figures(LINES, ports)
        assert exported("false_reject_budget_ratio") == 0.02
        assert exported("review_debt_captures", product=PRODUCT) == 2
        assert ratio("false_reject", "low") is None
        answer(ports, 0, CorrectionVerdict.GOOD, selection=Selection.RANDOM)
        answer(ports, 2, CorrectionVerdict.GOOD, selection=Selection.RANDOM)
        answer(ports, 3, CorrectionVerdict.DEFECT, selection=Selection.RANDOM)
        await export_figures(LINES, ports)
        assert exported("review_debt_captures", product=PRODUCT) == 1
        assert ratio("false_reject", "estimated") == 0.5
        assert (ratio("recall", "estimated"), ratio("recall", "high")) == (1.0, 1.0)
        for name in ("false_reject", "recall"):
            low, high = ratio(name, "low"), ratio(name, "high")
            assert low is not None
            assert high is not None
            assert 0 < low < high <= 1
        await export_figures([], ports)  # the line has ended
        assert exported("false_reject_budget_ratio") is None
        assert ratio("recall", "estimated") is None


def test_captures_without_a_score_are_no_debt() -> None:
    entry = CaptureEntry(
        line=LINE_NAME, product=PRODUCT, capture_id="c", image_uri="", captured_at=LINES[0].changed_at,
        received_at=LINES[0].changed_at,
    )  # fmt: skip
    assert review_debt([entry], ()) == {}
