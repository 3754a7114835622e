"""The scorer inside a real Ray Serve, over a real store: fit, draw, swap, refuse, fall and come back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from ray import serve
from ray._common.utils import import_attr
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from services.labeler.adapters.scorer_client import ScorerClient
from services.labeler.ports import FitOrder, FitRefusedError
from siad.apps.local.ports import free_ports
from siad.apps.local.ray_node import RayNode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import ImageStored, Intent
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId, sha256_hex
from siad.contracts.keys import score_map_key
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.place import Place
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.store.registry import Registry
from siad.vision.images import decode_image
from siad.vision.masks import DEFECT, decode_mask
from siad.vision.plausibility import MisfitError
from tests.e2e.harness import StageProcess, wait_for
from tests.fixtures.store import settings_of
from tests.synthetic import part_image, png, store_capture
from tests.thresholds import FixedThresholds

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


class Bench:
    """A scorer that runs, and the store it works on."""

    def __init__(self, scorer: ScorerClient, blobs: S3Blobs, process: StageProcess, ray: RayNode) -> None:
        self.scorer, self.blobs, self.process, self.ray = scorer, blobs, process, ray

    def capture(self, seed: int, *, line: str = "line-1", defect: bool = False) -> ImageStored:
        data = png(part_image(seed, defect=defect))
        return store_capture(self.blobs, data, key=f"{seed}-{defect}", line=line, intent=Intent.INSPECT)

    async def fit(self, normals: int, *, line: str = "line-1") -> WeightsId:
        captures = [self.capture(1000 + seed, line=line) for seed in range(normals)]
        order = FitOrder(normals=captures, settings=FitSettings(false_reject_budget=0.1))
        return (await self.scorer.fit(Place(line, "cell"), order)).weights


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(
    ray_node: RayNode, module_store_env: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bench]:
    """`python -m services.labeler.scorer`, with room for one teacher in memory."""
    (port,) = free_ports(1)
    blobs = S3Blobs(settings_of(module_store_env))
    blobs.ensure_bucket()
    env = {
        **module_store_env,
        **ray_node.environment(),
        "SIAD_LABELER_SCORER_URL": f"http://127.0.0.1:{port}",
        "SIAD_LABELER_SCORER_PORT": str(port),
        "SIAD_LABELER_MODELS_MAX": "1",
        "SIAD_LABELER_REPLICAS_MAX": "2",  # Serve scales, and needs no second one here
    }
    log = tmp_path_factory.mktemp("scorer") / "scorer.log"
    process = StageProcess(
        name="scorer", module="services.labeler.scorer", env=env, port=port, log=log, ready_path="/healthz"
    )
    process.start()
    try:
        await process.wait_ready()
        async with httpx.AsyncClient(base_url=process.url) as client:
            yield Bench(
                ScorerClient(client, FixedThresholds(), timeout_s=30, fit_timeout_s=120), blobs, process, ray_node
            )
        assert await process.stop() == 0
    finally:
        if process.alive:
            process.kill()


@pytest.fixture(scope="module")
def module_store_env(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """A bucket for the whole file."""
    env: Mapping[str, str] = request.getfixturevalue("weed_node").environment("test-labeler-serve")
    return env


async def test_ten_normals_make_a_teacher_that_tells_defects(bench: Bench) -> None:
    weights = await bench.fit(10)
    manifest = Registry(bench.blobs).manifest(Place("line-1", "cell"), weights)
    assert len(manifest.normals) == 10
    good, bad = bench.capture(1), bench.capture(2, defect=True)
    drawn = {capture.serial: await bench.scorer.draw(capture, weights=weights) for capture in (good, bad)}
    assert drawn[good.serial].score < drawn[bad.serial].score
    mask = bench.blobs.get(bench.blobs.key_of(drawn[bad.serial].mask_uri)).data
    assert sha256_hex(mask) == drawn[bad.serial].mask_sha256
    mask_HW = decode_mask(mask, may_ignore=True)
    assert mask_HW.shape == (64, 64)
    assert (mask_HW == DEFECT).any()
    assert drawn[bad.serial].regions
    scores = decode_image(bench.blobs.get(score_map_key("line-1", bad.capture_id, weights)).data)[:, :, 0]
    assert scores.shape == (64, 64)
    assert scores[mask_HW == DEFECT].min() >= 64, "a mark reaches the pixel threshold everywhere"


async def test_a_teacher_looks_at_what_its_line_wants_it_to_look_at(bench: Bench) -> None:
    left = (0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0)
    settings = FitSettings(false_reject_budget=0.2, region=left, input_px=128)
    captures = [bench.capture(3000 + seed) for seed in range(10)]
    order = FitOrder(normals=captures, settings=settings)
    weights = (await bench.scorer.fit(Place("line-1", "cell"), order)).weights
    manifest = Registry(bench.blobs).manifest(Place("line-1", "cell"), weights)
    assert FitSettings.of_manifest(manifest) == settings
    drawn = await bench.scorer.draw(bench.capture(7, defect=True), weights=weights)
    mask = decode_mask(bench.blobs.get(bench.blobs.key_of(drawn.mask_uri)).data)
    assert mask.shape == (64, 64)
    assert not mask[:, 32:].any()
    assert 0 <= drawn.confidence <= 1


async def test_an_image_unlike_the_normals_gets_no_mask_but_a_reason(bench: Bench) -> None:
    weights = await bench.fit(10)
    manifest = Registry(bench.blobs).manifest(Place("line-1", "cell"), weights)
    assert str(manifest.profile) == "64x64 px, grey, 8 bits"
    half = store_capture(bench.blobs, png(part_image(9)[:32]), key="half", intent=Intent.INSPECT)
    with pytest.raises(MisfitError, match="the image has 64x32 px, the normals have 64x64 px") as found:
        await bench.scorer.draw(half, weights=weights)
    assert found.value.misfit.reason is MisfitReason.SIZE
    assert (await bench.scorer.draw(half, weights=weights, sizes=SizeRule.ANY)).mask_uri


async def test_settings_that_no_teacher_can_have_refuse_a_fit(bench: Bench) -> None:
    captures = [bench.capture(4000 + seed) for seed in range(10)]
    settings = FitSettings(false_reject_budget=0.1, method="divination")
    with pytest.raises(FitRefusedError, match=r"no divination teacher .*choose feature-memory"):
        await bench.scorer.fit(Place("line-1", "cell"), FitOrder(normals=captures, settings=settings))


async def test_a_new_teacher_and_another_line_need_no_new_deployment(bench: Bench) -> None:
    old, new, other = await bench.fit(10), await bench.fit(20), await bench.fit(10, line="line-2")
    assert len({old, new, other}) == 3
    mine, theirs = bench.capture(3, defect=True), bench.capture(3, line="line-2", defect=True)
    named = [(mine, old), (mine, new), (theirs, other)] * 4
    drawn = await asyncio.gather(*(bench.scorer.draw(capture, weights=weights) for capture, weights in named))
    for (capture, weights), one in zip(named, drawn, strict=True):
        assert one.mask_uri.endswith(f"{capture.line}/{capture.capture_id}/{weights}.png")


async def test_an_image_that_is_gone_or_changed_makes_its_capture_poison(bench: Bench) -> None:
    weights = await bench.fit(10)
    gone = bench.capture(4)
    bench.blobs.delete(bench.blobs.key_of(gone.image_uri))
    changed = bench.capture(5)
    bench.blobs.put(bench.blobs.key_of(changed.image_uri), b"something else")
    for capture in (gone, changed):
        with pytest.raises(PoisonError, match=f"of capture {capture.capture_id} can't be labelled"):
            await bench.scorer.draw(capture, weights=weights)


async def test_weights_that_are_not_there_are_waited_for(bench: Bench) -> None:
    with pytest.raises(TransientError, match="weights ffff"):
        await bench.scorer.draw(bench.capture(6), weights=WeightsId("f" * 64))


async def test_normals_that_can_not_be_read_refuse_a_fit(bench: Bench) -> None:
    captures = [bench.capture(2000 + seed) for seed in range(10)]
    bench.blobs.put(bench.blobs.key_of(captures[0].image_uri), b"no image")
    order = FitOrder(normals=captures, settings=FitSettings(false_reject_budget=0.1))
    with pytest.raises(FitRefusedError, match="there are 9, since 1 of 10 can't be read: send 1 more"):
        await bench.scorer.fit(Place("line-1", "cell"), order)


async def test_a_replica_killed_in_mid_work_is_replaced(bench: Bench) -> None:
    weights = await bench.fit(10)
    captures = [bench.capture(100 + seed) for seed in range(20)]

    async def draw_in_the_end(capture: ImageStored) -> str:
        for _ in range(300):
            try:
                return (await bench.scorer.draw(capture, weights=weights)).mask_uri
            except TransientError:
                await asyncio.sleep(0.2)
        raise AssertionError(f"{capture.serial} was never drawn")

    drawing = [asyncio.create_task(draw_in_the_end(capture)) for capture in captures]
    await asyncio.sleep(0.05)
    for pid in replicas_of(bench):
        os.kill(pid, signal.SIGKILL)
    assert len(set(await asyncio.gather(*drawing))) == 20

    async def is_up() -> bool:
        return await bench.process.is_ready()

    await wait_for(is_up, 60, "the scorer to be up again", on_fail=bench.process.tail)


async def test_kuberay_builds_the_application_by_its_import_path(
    module_store_env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**module_store_env, "SIAD_LABELER_SCORER_URL": "http://scorer:8000"}.items():
        monkeypatch.setenv(name, value)
    application = import_attr("services.labeler.scorer.service:build")
    built = call_user_app_builder_with_args_if_necessary(application, {})
    assert isinstance(built, serve.Application)


def replicas_of(bench: Bench) -> list[int]:
    """The scorer's replicas on this session's Ray head: named after what they run, children of its raylet."""
    session = str(bench.ray._scratch)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if "ServeReplica:siad-labeler:scorer" in (entry / "cmdline").read_text():
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if session in Path("/proc", parent, "cmdline").read_text():
                    found.append(int(entry.name))
        except OSError:
            continue
    assert found, "no replica runs"
    return found
