"""From weights in the store to an examiner that may serve: manifest and parts by their digests, then golden inputs."""

from siad.contracts.ids import WeightsId
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.store.registry import Registry


class BundleLoader:
    """Loads weights, in whatever thread it is called."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __call__(self, line: str, product: str, weights: WeightsId) -> Predictor:
        """Read, verify, build and check one bundle.

        Raises:
            TransientError: the store is away.
            CorruptError: a file is not what its digest says.
            MissingError: a file is not there.
            ValueError: the bundle is not for this code, or does not give its golden outputs.
        """
        manifest = self._registry.manifest(line, product, weights)
        return open_bundle(manifest, self._registry.parts(manifest))
