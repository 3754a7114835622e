"""Application as a RayService of KubeRay starts it, by its import path.

Settings are those of the environment of Ray's pods, where every replica has the same.
"""

from collections.abc import Mapping
from typing import Any

from services.labeler.scorer.replicas import make_application
from services.labeler.settings import LabelerSettings
from siad.runtime.blobs.settings import StoreSettings


def build(_: Mapping[str, Any]) -> Any:
    """Bind the deployments with the settings of the environment."""
    return make_application(LabelerSettings.load(), StoreSettings.load())
