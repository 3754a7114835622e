"""Drift through the whole stage: a lens that loses focus is named, recorded and shown."""

from dataclasses import replace

import cv2

from siad.apps.cli.drift import read_drifts
from siad.contracts.drift import DriftCause
from siad.models.bundle import Bundle
from siad.vision.plausibility import profile_normals
from tests.integration.inference_plant import T1, TOPICS, Plant
from tests.synthetic import LINE, part_image, png


async def test_a_lens_that_loses_focus_is_named_and_recorded() -> None:
    plant = Plant()
    await plant.bus.create_topics(TOPICS)
    await plant.make_line()
    profile = profile_normals([part_image(seed) for seed in range(3000, 3020)], 8)
    await plant.release(Bundle(replace(T1.manifest, profile=profile), T1.parts))
    async with plant.running():
        for number in range(50):
            image_HWC = part_image(4000 + number)
            if number >= 20:
                image_HWC = cv2.GaussianBlur(image_HWC, (0, 0), 1.5)[:, :, None]
            await plant.verdict(await plant.capture(png(image_HWC)))
        metrics = (await plant.http.get("/metrics")).text
    assert f'siad_inference_drift_info{{cause="focus",line="{LINE}",product="cell"}} 1.0' in metrics
    (record,) = read_drifts(plant.blobs, LINE)
    (episode,) = record.lasting()
    assert episode.cause is DriftCause.FOCUS
    assert episode.evidence.deviations < -4
    assert episode.before is not None
    assert plant.blobs.get(plant.blobs.key_of(episode.before.image_uri)).data == png(part_image(4004))
