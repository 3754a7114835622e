"""Predictors in memory, and which weights serve each place.

New weights are loaded beside those in service; a swap then changes one entry of a dictionary. A thread that holds the
previous predictor finishes its batch with it.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.models.predictor import Predictor
from siad.models.residency import Residency
from siad.models.runner.open import SCREENING

BUFFER_BYTES_PER_PX: Final = 420  # of the input, as measured
SCREENED_RATIO: Final = 1.5  # of the memory of two networks, of which one keeps no buffers, to that of one
EVICTED_MAX: Final = 4096  # weights that are remembered as evicted

LoadPredictor = Callable[[Place, WeightsId], Predictor]  # raises where the weights can't be loaded


class Lookup(StrEnum):
    """Result of asking for a predictor, and what followed from it."""

    HIT = "hit"  # it was in memory
    FIRST = "first"  # loaded for the first time in this process
    RELOAD = "reload"  # loaded again, since it had made room for others
    EVICTED = "evicted"  # made room


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bounds of the predictors in memory, beside the one that loads."""

    models_max: int | None = None
    bytes_max: int | None = None  # by the estimate of ``memory_bytes``

    def __post_init__(self) -> None:
        """Refuse a room for no predictor."""
        if self.models_max is not None and self.models_max < 1:
            msg = f"models_max is {self.models_max}; set it to 1 or more"
            raise ValueError(msg)


def memory_bytes(manifest: Manifest, *, runner: str = "") -> int:
    """Estimate the memory of one predictor, its buffers of one image included.

    Measured: a default teacher (10.6 MB of files, 384 px) takes 83 MB in OpenVINO, see docs/adr/0048; with a screening
    network beside it 122 MB.
    """
    one = 2 * sum(part.size_bytes for part in manifest.parts) + BUFFER_BYTES_PER_PX * manifest.input_px**2
    return round(SCREENED_RATIO * one) if runner in SCREENING else one


class Slots:
    """Predictors in bounded memory, and each place's current and previous weights.

    Thread-safe. ``Residency`` chooses what makes room; it is loaded again when it is needed again.

    Args:
        load: loads a predictor.
        room: bounds.
        observe: is told the result of every lookup; must not block.
        monotonic: seconds.
    """

    def __init__(
        self,
        load: LoadPredictor,
        room: Room,
        *,
        observe: Callable[[Lookup], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._observe, self._monotonic = load, observe, monotonic
        self._residency = Residency(room.models_max, room.bytes_max)
        self._lock = threading.Lock()  # never held while loading
        self._models: OrderedDict[WeightsId, Predictor] = OrderedDict()
        self._replaced: list[WeightsId] = []  # by swaps since the last ``drop_replaced``
        self._evicted: OrderedDict[WeightsId, None] = OrderedDict()  # the last ones, to tell a reload from a first load
        self._loading: dict[WeightsId, Future[Predictor]] = {}
        self._current: dict[Place, WeightsId] = {}
        self._previous: dict[Place, WeightsId] = {}

    def swap(self, place: Place, weights: WeightsId) -> Predictor:
        """Load weights beside the current ones, then put them into service.

        The weights that served before stay in memory while there is room, so that swapping back is instant. Those
        before them leave with ``drop_replaced``.

        Raises:
            Exception: the one of the loader; the current weights stay in service.
        """
        predictor = self.peek(weights) or self.predictor(place, weights)  # a swap is no use
        with self._lock:
            before = self._current.get(place)
            if before is not None and before != weights:
                if (replaced := self._previous.get(place)) is not None:
                    self._replaced.append(replaced)
                self._previous[place] = before
            self._current[place] = weights
        return predictor

    def drop_replaced(self) -> None:
        """Drop weights that no place has now or had before.

        So many swaps take no more memory than two. Freeing takes some time: call it in a thread that may wait, and
        outside of a swap.
        """
        with self._lock:
            kept = {*self._current.values(), *self._previous.values()}
            dropped = [one for one in dict.fromkeys(self._replaced) if one in self._models and one not in kept]
            self._replaced.clear()
            freed = [self._models.pop(weights) for weights in dropped]
            for weights in dropped:
                self._residency.remove(weights)
        freed.clear()

    def discard(self, weights: WeightsId) -> None:
        """Drop weights that serve no place, such as a trial's candidate.

        Freeing takes some time, as with ``drop_replaced``.
        """
        with self._lock:
            if weights in (*self._current.values(), *self._previous.values()):
                return
            freed = self._models.pop(weights, None)
            if freed is not None:
                self._residency.remove(weights)
        del freed

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
                self._residency.use(weights, now_s=self._monotonic())
                self._observe(Lookup.HIT)
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

    @property
    def size_bytes(self) -> int:
        """Estimated memory of the predictors."""
        with self._lock:
            return self._residency.size_bytes

    @property
    def is_full(self) -> bool:
        """Whether another as large as the largest displaces one."""
        with self._lock:
            return self._residency.is_full

    def _make_room(self, weights: WeightsId, size_bytes: int) -> list[Predictor]:
        """Add weights, and take others out until all fit.

        The caller holds the lock, and frees the others after it.
        """
        now_s, left = self._monotonic(), []
        self._residency.add(weights, size_bytes=size_bytes, now_s=now_s)
        for victim in self._residency.leave(frozenset(self._current.values()), now_s=now_s):
            left.append(self._models.pop(victim))
            self._evicted[victim] = None
            self._observe(Lookup.EVICTED)
        while len(self._evicted) > EVICTED_MAX:
            self._evicted.popitem(last=False)
        return left

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
            self._observe(Lookup.RELOAD if weights in self._evicted else Lookup.FIRST)
            self._evicted.pop(weights, None)
            left = self._make_room(weights, memory_bytes(predictor.manifest, runner=predictor.runner_name))
        left.clear()  # frees their memory, which other threads need not wait for
        future.set_result(predictor)
