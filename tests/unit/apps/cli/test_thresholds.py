"""What siad status says of thresholds in service."""

from dataclasses import asdict, replace

from siad.apps.cli.thresholds import describe_thresholds
from siad.contracts.manifest import RateEstimate
from siad.vision.threshold_in_use import threshold_in_use
from tests.manifests import make_manifest
from tests.thresholds import make_threshold_set

WEIGHTS = {"line": "press-1", "product": "cap", "kind": "segmenter"}


def test_a_threshold_that_was_set_names_its_revision_reason_and_advice() -> None:
    threshold = threshold_in_use(make_manifest(), make_threshold_set("a" * 64))
    [text] = describe_thresholds([{**WEIGHTS, "threshold": asdict(threshold)}])
    assert text == (
        "press-1/cap: the segmenter judges at 1.5 (set since, revision 3): by hand; about 4.0% of good parts are "
        "rejected, with 90% probability 1.0% to 10.0%. 20 more normals would sharpen it"
    )


def test_the_threshold_of_a_manifest_says_so_and_states_no_rate_that_it_lacks() -> None:
    manifest = make_manifest(false_rejects=RateEstimate(budget=0.05, estimated=0.05, low=0.01, high=0.2))
    told = [{**WEIGHTS, "threshold": asdict(threshold_in_use(manifest, None))}]
    bare = [{**WEIGHTS, "threshold": asdict(threshold_in_use(replace(manifest, false_rejects=None), None))}]
    assert describe_thresholds(told)[0].endswith(
        "judges at 2 (of the manifest): chosen by the budget, from the normals of the fit; about 5.0% of good parts "
        "are rejected, with 90% probability 1.0% to 20.0%"
    )
    assert "%" not in describe_thresholds(bare)[0]
