"""Loads weights from the store, verified by digest and golden inputs."""

from siad.contracts.errors import CorruptError, MissingError, UnusableWeightsError
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.store.registry import Registry
from siad.vision.memory_errors import out_of_memory_named


class BundleLoader:
    """Loads one bundle, in the thread of the caller."""

    def __init__(self, registry: Registry, *, runner: str) -> None:
        """Take what it reads from, and the runner's name; ``auto``: as measured."""
        self._registry, self._runner = registry, runner

    def __call__(self, place: Place, weights: WeightsId) -> Predictor:
        """Read, verify, build and check one bundle.

        Raises:
            TransientError: the store is unavailable or denies access, or memory ran out.
            UnusableWeightsError: a file is missing or damaged, the bundle is for another version, or it does not
                reproduce its golden scores.
            DeviceError: the device that computes failed.
        """
        try:
            with out_of_memory_named(f"reading weights {weights[:12]}"):
                manifest = self._registry.manifest(place, weights)
                parts = self._registry.parts(manifest)
        except (CorruptError, MissingError) as error:
            msg = f"weights {weights[:12]} can't be read; publish them again, or release others: {error}"
            raise UnusableWeightsError(msg) from error
        return open_bundle(manifest, parts, runner=self._runner)
