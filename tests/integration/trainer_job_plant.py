"""What a trainer leaves in the store for its jobs, and jobs that a test may kill."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from services.trainer.adapters.training_sets import StoredTrainingSets
from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.training_set import FreezePolicy, NormalCapture, TrainingSet
from siad.contracts.ids import sha256_hex
from siad.contracts.keys import checkpoints_prefix, mask_key, run_report_key
from siad.contracts.place import Place
from siad.contracts.training_runs import RunReport, RunSpec, run_name
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.store.registry import Registry
from siad.runtime.store.runs import StoredRuns
from siad.vision.masks import encode_mask
from tests.synthetic import PRODUCT, bundle, part_image, png

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLACE = Place("press-1", PRODUCT)
JOB_S = 600.0  # a minute on two idle cores; starting takes most of it, twice where a worker is killed
WORKER = re.compile(r"pid=(\d+)\).*\"event\": \"epoch_done\"")
NOTED = "checkpoint_manager_snapshot.json"  # Ray Train's own list of checkpoints


class Plant:
    """A line with a teacher, captures and their masks, in a bucket."""

    def __init__(self, blobs: S3Blobs, env: Mapping[str, str]) -> None:
        self.blobs, self.env, self.registry = blobs, env, Registry(blobs)
        made = bundle(line=PLACE.line)
        self.teacher = self.registry.store(made.manifest, made.parts)
        self.spec = RunSpec(
            run="",
            line=PLACE.line,
            product=PLACE.product,
            training_set="",
            teacher=self.teacher,
            serving="",
            ledger_until_at=NOON,
            false_reject_budget=0.05,
            input_px=64,
            epochs=10_000,
            train_s=600.0,
            frozen_at=NOON,
            segmenter="residual",
        )
        self.training_set = self._training_set()

    def freeze(self, number: int, **changes: object) -> str:
        """Store the training set and a spec that differs by ``changes``; return the run."""
        return asyncio.run(self._freeze(number, changes))

    async def _freeze(self, number: int, changes: Mapping[str, object]) -> str:
        store = AsyncBlobs(self.blobs)
        await StoredTrainingSets(store).put(PLACE, self.training_set)
        fields = {name: getattr(self.spec, name) for name in RunSpec.__slots__}
        fields |= {"run": run_name(*PLACE, number), "training_set": self.training_set.digest, **changes}
        await StoredRuns(store).put_spec(RunSpec(**fields))
        store.close()
        return str(fields["run"])

    def report(self, run: str) -> RunReport | None:
        """The report of a run, if there is one."""
        if self.blobs.head(run_report_key(run)) is None:
            return None
        return RunReport.from_json(self.blobs.get(run_report_key(run)).data)

    @contextmanager
    def job(self, run: str, log: Path, *, ray: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start the job of a run; it is gone afterwards."""
        with log.open("wb") as out:
            job = subprocess.Popen(
                [sys.executable, "-m", "services.trainer.job", "--run", run],
                env={**os.environ, **self.env, "RAY_ADDRESS": ray, "OMP_NUM_THREADS": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            try:
                yield job
            finally:
                if job.poll() is None:
                    job.kill()
                    job.wait()

    def run_job(self, run: str, log: Path, *, ray: str) -> RunReport:
        """Run a job to its end, which must be a report."""
        with self.job(run, log, ray=ray) as job:
            assert job.wait(timeout=JOB_S) == 0, log.read_text()[-4000:]
        report = self.report(run)
        assert report is not None
        return report

    def wait_for_checkpoint(self, run: str, log: Path, job: subprocess.Popen[bytes]) -> int:
        """Wait until Ray has noted a checkpoint; return a process that trains."""
        deadline = time.monotonic() + JOB_S
        while time.monotonic() < deadline:
            assert job.poll() is None, log.read_text()[-4000:]
            found = WORKER.findall(log.read_text())
            if found and self.blobs.head(f"{checkpoints_prefix(run)}/{NOTED}") is not None:
                return int(found[-1])
            time.sleep(0.1)
        pytest.fail(f"no checkpoint in {JOB_S:g} s:\n{log.read_text()[-4000:]}")

    def _training_set(self) -> TrainingSet:
        images = [self._image(part_image(5000 + index), f"normal-{index}") for index in range(12)]
        normals = [NormalCapture(capture_id=name, image_id=image_id, image_uri=uri) for name, image_id, uri in images]
        rows = [self._row(index) for index in range(80)]
        chosen = freeze(rows, normals, teachers=[self.teacher], policy=FreezePolicy())
        assert isinstance(chosen, TrainingSet), chosen
        return chosen

    def _image(self, image_HWC: np.ndarray, name: str) -> tuple[str, str, str]:
        data = png(image_HWC)
        image_id = sha256_hex(data)
        key = f"images/{PLACE.line}/2026-05-04/{image_id}.png"
        self.blobs.put(key, data)
        return sha256_hex(name.encode())[:32], image_id, self.blobs.uri(key)

    def _row(self, index: int) -> LedgerRow:
        """A capture as a perfect teacher would have marked it: every third one has a blob."""
        is_defect = index % 3 == 0
        image_HWC = part_image(index, defect=is_defect)
        capture_id, image_id, uri = self._image(image_HWC, f"part-{index}")
        mask_HW = np.where((image_HWC[:, :, 0] > 200) & is_defect, 255, 0).astype(np.uint8)
        data = encode_mask(mask_HW)
        key = mask_key(PLACE.line, capture_id, self.teacher)
        self.blobs.put(key, data)
        moment = NOON + timedelta(seconds=index)
        return LedgerRow(
            capture_id=capture_id,
            image_id=image_id,
            image_uri=uri,
            captured_at=moment,
            received_at=moment,
            mask_uri=self.blobs.uri(key),
            mask_sha256=sha256_hex(data),
            weights=self.teacher,
            score=(9.0 if is_defect else 1.0) + index / 1000,
            threshold=5.0,
            defect_ratio=float((mask_HW > 0).mean()),
        )
