"""Which of aiokafka's errors pass by themselves, and which never will."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka import errors
from aiokafka.errors import KafkaError

from siad.contracts.errors import TransientError
from siad.runtime.bus.settings import BusSettings

T = TypeVar("T")

# beside those that aiokafka itself calls retriable
_PASSING = (
    errors.KafkaTimeoutError,
    errors.KafkaUnavailableError,
    errors.BrokerNotAvailableError,
    errors.ReplicaNotAvailableError,
    errors.UnknownError,  # the broker's own trouble: it has no better word while it starts or stops
    errors.CorruptRecordException,  # on the wire; the next fetch is another one
    errors.InvalidReplicationFactorError,  # fewer brokers are up than copies are wanted
    # the group moved on without us; what was not committed is repeated by whoever has the place now
    errors.CommitFailedError,
    errors.IllegalStateError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    # the broker lost track of an idempotent producer; a new one starts a new sequence
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.ProducerFenced,
    errors.ProducerClosed,
)


def passes(error: KafkaError) -> bool:
    """Whether trying again can help. The bare class is aiokafka's word for "unexpected"; it goes on after it."""
    return bool(error.retriable) or isinstance(error, _PASSING) or type(error) is KafkaError


def explain(error: KafkaError, what: str, settings: BusSettings) -> Exception:
    """TransientError for what passes; else a RuntimeError, which ends the process: no repeat will help."""
    said = f"broker at {settings.bootstrap} could not {what}: {error!r}"
    if passes(error):
        return TransientError(said)
    return RuntimeError(f"{said}; a repeat can't help, so this process ends. Check rights, versions and SIAD_BUS_*")


async def answered(work: Awaitable[T], what: str, settings: BusSettings) -> T:
    """Wait for an answer within the bound.

    Raises:
        TransientError: none came, or the broker says that it can't now.
        RuntimeError: the broker refuses, and will go on to.
    """
    try:
        return await asyncio.wait_for(work, settings.request_timeout_s)
    except TimeoutError as error:
        msg = f"broker at {settings.bootstrap} did not answer within {settings.request_timeout_s:g} s: {what}"
        raise TransientError(msg) from error
    except KafkaError as error:
        raise explain(error, what, settings) from error
