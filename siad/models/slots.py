"""Predictors in memory, and which weights serve each place.

New weights are loaded beside those in service; a swap then changes one entry of a dictionary. A thread that holds the
previous predictor finishes its batch with it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.models.predictor import Predictor

LoadPredictor = Callable[[Place, WeightsId], Predictor]  # raises where the weights can't be loaded


class Slots:
    """At most ``models_max`` predictors, and each place's current and previous weights.

    Thread-safe. The least recently used predictor is dropped first, and loaded again when it is needed again.
    """

    def __init__(self, load: LoadPredictor, *, models_max: int) -> None:
        if models_max < 1:
            msg = f"models_max is {models_max}; set it to 1 or more"
            raise ValueError(msg)
        self._load = load
        self._models_max = models_max
        self._lock = threading.Lock()  # never held while loading
        self._models: OrderedDict[WeightsId, Predictor] = OrderedDict()
        self._loading: dict[WeightsId, Future[Predictor]] = {}
        self._current: dict[Place, WeightsId] = {}
        self._previous: dict[Place, WeightsId] = {}

    def swap(self, place: Place, weights: WeightsId) -> Predictor:
        """Load weights beside the current ones, then put them into service.

        The weights that served before stay in memory while there is room, so that swapping back is instant.

        Raises:
            Exception: the one of the loader; the current weights stay in service.
        """
        predictor = self.predictor(place, weights)
        with self._lock:
            before = self._current.get(place)
            if before is not None and before != weights:
                self._previous[place] = before
            self._current[place] = weights
        return predictor

    def current_weights(self, place: Place) -> WeightsId | None:
        """Return the weights in service; None where none are."""
        with self._lock:
            return self._current.get(place)

    def previous_weights(self, place: Place) -> WeightsId | None:
        """Return the weights that served before; None where there were none."""
        with self._lock:
            return self._previous.get(place)

    def withdraw(self, place: Place) -> None:
        """Take the weights of a place out of service."""
        with self._lock:
            self._current.pop(place, None)
            self._previous.pop(place, None)

    def predictor(self, place: Place, weights: WeightsId) -> Predictor:
        """Return the predictor of some weights, in service or not.

        Concurrent calls load it once.

        Raises:
            Exception: the one of the loader; the next call tries again.
        """
        with self._lock:
            loaded = self._models.get(weights)
            if loaded is not None:
                self._models.move_to_end(weights)
                return loaded
            loading = self._loading.get(weights)
            is_first = loading is None
            if loading is None:
                loading = self._loading[weights] = Future()
        if is_first:
            self._load_into(loading, place, weights)
        return loading.result()

    def peek(self, weights: WeightsId) -> Predictor | None:
        """Return a predictor that is in memory; None where it is not."""
        with self._lock:
            return self._models.get(weights)

    def loaded(self) -> list[WeightsId]:
        """Return the weights in memory, least recently used first."""
        with self._lock:
            return list(self._models)

    def _load_into(self, future: Future[Predictor], place: Place, weights: WeightsId) -> None:
        try:
            predictor = self._load(place, weights)
        except BaseException as error:  # noqa: BLE001 - passed on to every waiting thread; result() raises it here
            with self._lock:
                del self._loading[weights]
            future.set_exception(error)
            return
        with self._lock:
            del self._loading[weights]
            self._models[weights] = predictor
            while len(self._models) > self._models_max:
                self._models.popitem(last=False)
        future.set_result(predictor)
