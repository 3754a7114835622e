"""Plan of a plant: what grows with what, what is first at its limit, and that the chart's values are the model's."""

import json
from dataclasses import replace

import pytest
import yaml

from benchmarks.scale import CHART, COSTS
from benchmarks.scale_costs import LabelCost, Measurement, costs_of, costs_to_plain, fit_costs
from benchmarks.scale_measure import Phase
from benchmarks.scale_model import STAGES, Costs, Plant, Prices, RoleCost, make_plan, money_of
from benchmarks.scale_values import PLANTS, render

ROLE = RoleCost(idle_cores=0.01, capture_s=0.05, megapixel_s=0.1, memory_mb=400)
MADE = Costs(
    measured="a test",
    roles=dict.fromkeys((*STAGES, "broker", "store"), ROLE),
    network_s=0.04,
    puts=3,
    gets=2,
    others=1,
    stored_bytes=20_000,
    read_images=2,
    broker_bytes=2_000,
)
PLANT = Plant(lines=10, per_s=10, megapixels=1.0, file_mb=1.0)


def test_cores_grow_with_rate_and_pixels() -> None:
    plan = make_plan(MADE, PLANT)
    assert plan.roles["inference"].cores == pytest.approx(0.01 + 10 * 0.15)
    assert plan.roles["inference"].pods == 3  # 1.51 cores, two thirds of a core in each
    larger = make_plan(MADE, replace(PLANT, megapixels=2.0))
    assert larger.roles["inference"].cores == pytest.approx(0.01 + 10 * 0.25)


def test_fewer_labels_need_fewer_scorers_and_as_many_inspectors() -> None:
    few = make_plan(MADE, replace(PLANT, labelled_share=0.1))
    assert few.roles["scorer"].pods < make_plan(MADE, PLANT).roles["scorer"].pods
    assert few.roles["inference"].pods == make_plan(MADE, PLANT).roles["inference"].pods


def test_the_lowest_limit_comes_first_and_is_over_the_planned_rate() -> None:
    limits = list(make_plan(MADE, PLANT).limits.values())
    assert limits == sorted(limits)
    narrow = make_plan(MADE, replace(PLANT, store_mb_s=15.0))
    assert next(iter(narrow.limits)) == "store's network"
    assert next(iter(narrow.limits.values())) == pytest.approx(15 / 3.02)


def test_money_is_by_the_given_prices_alone() -> None:
    prices = Prices(source="x", core_month=10, gpu_month=0, tb_month=0, million_puts=1, million_gets=0)
    plan = make_plan(MADE, PLANT)
    money = money_of(plan, PLANT, prices)
    assert money["cores"] == 10 * sum(role.pods for role in plan.roles.values())
    assert money["requests"] == pytest.approx(30 * 0.35 * 86_400 * 30 / 1e6)
    assert money["GPUs"] == 0


def test_a_plant_without_captures_is_refused() -> None:
    with pytest.raises(ValueError, match=r"give at least one line, and a rate and a size over 0"):
        make_plan(MADE, replace(PLANT, per_s=0))


def phase(megapixels: float, captures: int, cpu_s: float) -> Phase:
    return Phase(
        lines=1,
        captures=captures,
        megapixels=megapixels,
        seconds=10.0,
        cpu_s={"inference": cpu_s},
        memory_mb={"inference": 500.0},
        requests={"PUT": 30 * bool(captures)},
        sent_bytes=1_000,
        received_bytes=2_000,
        broker_bytes=500,
    )


def test_idle_cost_captures_and_pixels_are_told_apart() -> None:
    found = Measurement(idle=phase(0.5, 0, 1.0), small=phase(0.5, 10, 2.0), large=phase(1.5, 10, 4.0), file_bytes=50)
    costs = fit_costs(found, LabelCost(small_s=0.1, large_s=0.2), measured="x")
    inference = costs.roles["inference"]
    assert (inference.idle_cores, inference.megapixel_s, inference.capture_s) == (0.1, 0.2, 0.0)
    assert costs.roles["scorer"].seconds(1.5) == pytest.approx(0.2)
    assert (costs.puts, costs.read_images) == (3.0, 4.0)
    assert costs_of(json.loads(json.dumps(costs_to_plain(costs)))) == costs


@pytest.mark.parametrize("name", PLANTS)
def test_the_values_of_the_chart_are_what_the_model_writes(name: str) -> None:
    costs = costs_of(json.loads(COSTS.read_text())["costs"])
    text = (CHART / f"values-{name}.yaml").read_text()
    assert text == render(name, costs), "run python -m benchmarks.scale --write"
    assert yaml.safe_load(text)["stages"]["inference"]["autoscaling"] == {"enabled": False}
