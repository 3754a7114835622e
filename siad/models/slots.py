"""Which weights judge a line now, and the models kept in memory: load beside, swap one reference, keep the last hot.

A swap changes one entry of a dictionary, between two batches; whoever already holds the old examiner finishes with it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from siad.contracts.ids import WeightsId
from siad.models.predictor import Predictor

LoadPredictor = Callable[[str, str, WeightsId], Predictor]  # line, product, weights; raises where they can't serve


class Slots:
    """At most ``models_max`` examiners in memory, and for each line and product the current and the previous weights.

    Thread-safe. The least recently used model goes first; one that is needed again is loaded again.
    """

    def __init__(self, load: LoadPredictor, *, models_max: int) -> None:
        if models_max < 1:
            msg = f"models_max {models_max} is less than 1"
            raise ValueError(msg)
        self._load = load
        self._models_max = models_max
        self._lock = threading.Lock()  # never held while loading
        self._models: OrderedDict[WeightsId, Predictor] = OrderedDict()
        self._loading: dict[WeightsId, Future[Predictor]] = {}
        self._current: dict[tuple[str, str], WeightsId] = {}
        self._previous: dict[tuple[str, str], WeightsId] = {}

    def swap(self, line: str, product: str, weights: WeightsId) -> Predictor:
        """Load weights beside the old ones, then let them serve; the old ones stay hot as the way back.

        Raises:
            Exception: whatever the loader raised; then nothing has changed and the old weights go on serving.
        """
        examiner = self.examiner(line, product, weights)
        with self._lock:
            before = self._current.get((line, product))
            if before is not None and before != weights:
                self._previous[line, product] = before
            self._current[line, product] = weights
        return examiner

    def current(self, line: str, product: str) -> Predictor | None:
        """The examiner that serves now; None before the first swap. Loads it again if it had to go."""
        with self._lock:
            weights = self._current.get((line, product))
        return None if weights is None else self.examiner(line, product, weights)

    def current_weights(self, line: str, product: str) -> WeightsId | None:
        """Name the weights that serve now."""
        with self._lock:
            return self._current.get((line, product))

    def previous_weights(self, line: str, product: str) -> WeightsId | None:
        """Name the weights that served before; ``swap`` to them is instant while they are hot."""
        with self._lock:
            return self._previous.get((line, product))

    def withdraw(self, line: str, product: str) -> None:
        """Let nothing serve a line and product any more."""
        with self._lock:
            self._current.pop((line, product), None)
            self._previous.pop((line, product), None)

    def examiner(self, line: str, product: str, weights: WeightsId) -> Predictor:
        """Give one model by name, serving or not; loads it once, however many threads ask.

        Raises:
            Exception: whatever the loader raised; the next call tries again.
        """
        with self._lock:
            hot = self._models.get(weights)
            if hot is not None:
                self._models.move_to_end(weights)
                return hot
            loading = self._loading.get(weights)
            mine = loading is None
            if loading is None:
                loading = self._loading[weights] = Future()
        if mine:
            self._load_into(loading, line, product, weights)
        return loading.result()

    def hot(self) -> list[WeightsId]:
        """The models in memory, least recently used first."""
        with self._lock:
            return list(self._models)

    def _load_into(self, future: Future[Predictor], line: str, product: str, weights: WeightsId) -> None:
        try:
            examiner = self._load(line, product, weights)
        except BaseException as error:  # noqa: BLE001 - those who wait must hear of it, whatever it is; result() raises it
            with self._lock:
                del self._loading[weights]
            future.set_exception(error)
            return
        with self._lock:
            del self._loading[weights]
            self._models[weights] = examiner
            while len(self._models) > self._models_max:
                self._models.popitem(last=False)
        future.set_result(examiner)
