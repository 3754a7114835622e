"""Every law is proved by planted faults: a few lines that break it must be reported, a few that keep it must not."""

from dataclasses import dataclass, field

import pytest

from tests.architecture import laws
from tests.architecture.imports import Tree
from tests.architecture.laws import IMPORT_LAWS, LANGUAGE_LAWS, Law


@dataclass(frozen=True)
class Planted:
    """One faulty file; ``reported`` stands in the violation, ``beside`` are other files of the tree."""

    law: Law
    path: str
    source: str
    reported: str
    beside: dict[str, str] = field(default_factory=dict)

    @property
    def tree(self) -> Tree:
        return {**self.beside, self.path: self.source}

    def __str__(self) -> str:
        return f"{self.law.__name__}-{self.source.rpartition(chr(10))[2].strip() or self.path}"


IDS, CODEC, TILES = "siad/contracts/ids.py", "siad/contracts/codec.py", "siad/vision/tiles.py"
CLOCK, RETRY = "siad/runtime/clock.py", "siad/runtime/consumer/retry.py"
HANDLERS, ROUTES, RECONCILE = (f"services/labeler/{name}.py" for name in ("handlers", "routes", "reconcile"))
APP, JOB = "services/trainer/app.py", "services/trainer/job/run.py"

FAULTS = (
    # the review's own plant: `import requests, os, time, random` in ids.py passed the old law
    Planted(laws.contracts_import_only_the_standard_library, IDS, "import requests", "imports requests"),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "import os", "imports os"),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "import time", "imports time"),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "import random", "imports random"),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "import socket, subprocess", "imports subprocess"),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "from pathlib import Path", "imports pathlib.Path"),
    Planted(
        laws.contracts_import_only_the_standard_library, IDS, "def f():\n    import numpy", "ids.py:2 imports numpy"
    ),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "from ..vision import tiles", "siad.vision.tiles"),
    Planted(laws.contracts_import_only_the_standard_library, IDS, "from google.protobuf import message", "google"),
    Planted(laws.contracts_import_only_the_standard_library, CODEC, "import numpy", "imports numpy"),
    Planted(laws.vision_imports_only_arrays, TILES, "import torch", "imports torch"),
    Planted(laws.vision_imports_only_arrays, TILES, "import time", "imports time"),
    Planted(laws.vision_imports_only_arrays, TILES, "from os import environ", "imports os.environ"),
    Planted(laws.vision_imports_only_arrays, TILES, "import random", "imports random"),
    Planted(laws.vision_imports_only_arrays, TILES, "from siad.runtime import clock", "siad.runtime.clock"),
    Planted(
        laws.contracts_and_vision_are_pure,
        IDS,
        "from datetime import UTC, datetime\nNOW = datetime.now(UTC)",
        "ids.py:2 uses datetime.datetime.now",
    ),
    Planted(laws.contracts_and_vision_are_pure, IDS, "import datetime as dt\nx = dt.datetime.utcnow()", "utcnow"),
    Planted(laws.contracts_and_vision_are_pure, IDS, "from datetime import date\nx = date.today()", "date.today"),
    Planted(laws.contracts_and_vision_are_pure, IDS, "x = open('/etc/hosts')", "uses open"),
    Planted(
        laws.contracts_and_vision_are_pure, TILES, "import numpy as np\nx = np.random.rand(3)", "numpy.random.rand"
    ),
    Planted(laws.contracts_and_vision_are_pure, TILES, "import numpy.random as r\nx = r.seed(3)", "numpy.random.seed"),
    Planted(
        laws.contracts_and_vision_are_pure, TILES, "from numpy import random\nx = random.normal()", "random.normal"
    ),
    Planted(laws.contracts_and_vision_are_pure, TILES, "import numpy as np\nrng = np.random", "uses numpy.random"),
    Planted(
        laws.contracts_and_vision_are_pure, TILES, "import numpy as np\nx = np.random.default_rng()", "default_rng()"
    ),
    Planted(laws.contracts_and_vision_are_pure, TILES, "import cv2\nx = cv2.imread('a.png')", "cv2.imread"),
    Planted(laws.contracts_and_vision_are_pure, TILES, "import cv2\ncv2.setRNGSeed(1)", "cv2.setRNGSeed"),
    Planted(laws.torch_stays_in_its_rooms, APP, "def f():\n    import torch", "app.py:2 imports torch"),
    Planted(laws.torch_stays_in_its_rooms, CLOCK, "from torch.nn import functional", "torch.nn.functional"),
    Planted(laws.torch_stays_in_its_rooms, "siad/apps/cli/send.py", "import torch", "imports torch"),
    Planted(
        laws.torch_stays_in_its_rooms,
        APP,
        "import importlib\ntorch = importlib.import_module('torch')",
        "app.py:2 imports torch",
    ),
    Planted(laws.ray_stays_in_its_rooms, APP, "from ray import train", "imports ray.train"),
    Planted(laws.ray_stays_in_its_rooms, "siad/models/bundle.py", "import ray", "imports ray"),
    Planted(laws.ray_stays_in_its_rooms, "services/labeler/scorer_client.py", "import ray", "imports ray"),
    # the review's own plant: a stage that imports the command line
    Planted(laws.apps_are_imported_only_by_apps, APP, "from siad.apps.cli import send", "imports siad.apps.cli.send"),
    Planted(laws.apps_are_imported_only_by_apps, CLOCK, "from siad import apps", "imports siad.apps"),
    Planted(laws.imports_lead_down, "siad/erasure/rows.py", "from siad.audit import ledger", "siad.audit.ledger"),
    Planted(laws.imports_lead_down, "siad/audit/ledger.py", "import services.ingest", "imports services.ingest"),
    Planted(laws.imports_lead_down, "siad/models/bundle.py", "from siad.runtime import clock", "siad.runtime.clock"),
    Planted(laws.imports_lead_down, CLOCK, "from siad.models import bundle", "imports siad.models.bundle"),
    Planted(laws.imports_lead_down, CLOCK, "from ..erasure import rows", "imports siad.erasure.rows"),
    Planted(laws.imports_lead_down, "siad/vision/tiles.py", "import siad.models.bundle", "siad.models.bundle"),
    Planted(laws.imports_lead_down, "siad/attic/things.py", "", "lies on no floor"),
    Planted(laws.stages_are_independent, APP, "from services.labeler import ports", "imports services.labeler.ports"),
    Planted(laws.stages_are_independent, APP, "from ..ingest.domain import lines", "services.ingest.domain.lines"),
    Planted(
        laws.deciding_modules_import_ports_only, RECONCILE, "from services.labeler.adapters import store", "adapters"
    ),
    Planted(
        laws.deciding_modules_import_ports_only, ROUTES, "from .adapters.store import StoredLines", "adapters.store"
    ),
    Planted(
        laws.deciding_modules_import_ports_only, HANDLERS, "from . import adapters", "imports services.labeler.adapters"
    ),
    Planted(
        laws.deciding_modules_import_ports_only, HANDLERS, "from services.labeler import app", "services.labeler.app"
    ),
    Planted(
        laws.deciding_modules_know_no_store, RECONCILE, "from siad.runtime.store.leases import Leases", "store.leases"
    ),
    Planted(laws.deciding_modules_know_no_store, ROUTES, "from siad.runtime.store import registry", "store.registry"),
    Planted(
        laws.deciding_modules_know_no_store,
        "services/trainer/domain/plan.py",
        "from siad.runtime.store.registry import Registry",
        "store.registry.Registry",
    ),
    Planted(laws.generated_code_belongs_to_the_codec, CLOCK, "from siad.v1 import events_pb2", "siad.v1.events_pb2"),
    Planted(laws.generated_code_belongs_to_the_codec, IDS, "from siad import v1", "imports siad.v1"),
    Planted(
        laws.consumers_reach_neither_torch_nor_ray,
        APP,
        "from services.trainer.job import run",
        "services.trainer.app -> services.trainer.job.run -> torch",
        beside={JOB: "import torch"},
    ),
    Planted(
        laws.consumers_reach_neither_torch_nor_ray,
        RETRY,
        "def f():\n    from siad.models.bundle import load",
        "siad.runtime.consumer.retry -> siad.models.bundle -> siad.models.backbone -> torch",
        beside={"siad/models/bundle.py": "from siad.models import backbone", "siad/models/backbone.py": "import torch"},
    ),
    Planted(
        laws.consumers_reach_neither_torch_nor_ray,
        APP,
        "from siad.models.names import NAMES",
        "services.trainer.app -> siad.models.names -> siad.models -> torch",
        beside={"siad/models/__init__.py": "import torch", "siad/models/names.py": "NAMES = ()"},
    ),
    Planted(
        laws.consumers_reach_neither_torch_nor_ray,
        "services/inference/app.py",
        "from siad.models.runner.torch import TorchRunner",
        "services.inference.app -> siad.models.runner.torch -> torch",
        beside={"siad/models/runner/torch.py": "import torch"},
    ),
    Planted(laws.consumers_reach_neither_torch_nor_ray, RETRY, "import ray", "siad.runtime.consumer.retry -> ray"),
    # the review's defect D2: the record was republished for ever under python -O
    Planted(
        laws.asserts_have_no_side_effects, RETRY, "assert self.parcels.popleft() is parcel", "self.parcels.popleft()"
    ),
    Planted(laws.asserts_have_no_side_effects, RETRY, "assert (n := len(x)) > 0", "n := len(x)"),
    Planted(laws.asserts_have_no_side_effects, RETRY, "async def f():\n    assert await done()", "await done()"),
    Planted(laws.asserts_have_no_side_effects, RETRY, "assert next(rows)", "next(rows)"),
    Planted(laws.asserts_have_no_side_effects, RETRY, "assert seen.setdefault(key, 1) == 1", "seen.setdefault(key, 1)"),
    Planted(laws.asserts_have_no_side_effects, RETRY, "assert x, seen.pop()", "seen.pop()"),
)

LAWFUL: Tree = {
    "siad/__init__.py": "",
    "siad/v1/__init__.py": "",
    IDS: "import hashlib\nfrom datetime import UTC, datetime\nx = datetime.fromtimestamp(0, UTC)",
    "siad/contracts/events.py": "from siad.contracts.ids import x\nfrom .ids import x as y",
    CODEC: "from google.protobuf.message import Message\nfrom siad.contracts import events, ids\n"
    "from siad.v1 import events_pb2",
    TILES: "import math\nimport numpy as np\nimport cv2\nfrom scipy import ndimage\nfrom sklearn.metrics import auc\n"
    "from siad.contracts.ids import x\ndef f(seed, rng: np.random.Generator):\n    return np.random.default_rng(seed)",
    CLOCK: "import time\nfrom datetime import UTC, datetime\nfrom siad.contracts.ids import x\nnow = datetime.now(UTC)",
    RETRY: "from siad.runtime import clock\nassert clock is not None and x.get(1) and x[1:].copy(), 'the clock stands'",
    "siad/models/bundle.py": "import numpy\nfrom siad.vision.tiles import f",
    "siad/models/segmenter.py": "import torch",
    "siad/erasure/rows.py": "from siad.runtime.clock import now",
    "siad/audit/ledger.py": "from siad.erasure import rows",
    "services/__init__.py": "",
    "services/labeler/ports.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    from siad.models.bundle import f",
    HANDLERS: "from services.labeler import metrics, ports, settings\nfrom services.labeler.domain.fitting import plan",
    RECONCILE: "from services.labeler.handlers import f\nfrom siad.runtime.clock import now",
    ROUTES: "from services.labeler.ports import Lines\nfrom services.labeler.wire import Answer\n"
    "from fastapi import Request",
    "services/labeler/app.py": "from services.labeler.adapters.store import StoredLines\n"
    "from siad.runtime.store.registry import Registry",
    "services/labeler/scorer/replicas.py": "import torch\nfrom ray import serve\nfrom siad.models import bundle",
    JOB: "import ray\nimport torch",
    "services/inference/app.py": "from siad.models.bundle import f",
    "siad/apps/lab/evaluate.py": "import torch",
    "siad/apps/cli/send.py": "from siad.apps.lab import evaluate\nfrom services.ingest import settings",
}


@pytest.mark.parametrize("planted", FAULTS, ids=str)
def test_a_planted_fault_is_reported(planted: Planted) -> None:
    found = planted.law(planted.tree)
    assert any(planted.reported in one and one.startswith(f"{planted.path}:") for one in found), found


@pytest.mark.parametrize("law", [*IMPORT_LAWS, *LANGUAGE_LAWS], ids=lambda law: law.__name__)
def test_a_lawful_tree_is_left_alone(law: Law) -> None:
    assert law(LAWFUL) == []


def test_every_law_has_a_planted_fault() -> None:
    assert {planted.law for planted in FAULTS} == {*IMPORT_LAWS, *LANGUAGE_LAWS}
