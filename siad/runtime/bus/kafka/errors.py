"""Translation of aiokafka's errors: transient, or denied."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka import errors
from aiokafka.errors import KafkaError

from siad.contracts.errors import DeniedError, TransientError
from siad.runtime.bus.settings import BusSettings

T = TypeVar("T")

# In addition to those that aiokafka calls retriable.
_PASSING = (
    errors.KafkaTimeoutError,
    errors.KafkaUnavailableError,
    errors.BrokerNotAvailableError,
    errors.ReplicaNotAvailableError,
    errors.UnknownError,  # an error inside the broker, common while it starts or stops
    errors.CorruptRecordException,  # damaged in transit; the next fetch reads it again
    errors.InvalidReplicationFactorError,  # fewer brokers are up than the replication asks for
    # The group rebalanced; uncommitted records are delivered again to the partition's new member.
    errors.CommitFailedError,
    errors.IllegalStateError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    # The broker lost the sequence of an idempotent producer; a new producer starts a new one.
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.ProducerFenced,
    errors.ProducerClosed,
)

_UNAUTHORIZED = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)


def passes(error: KafkaError) -> bool:
    """Whether a retry can help.

    aiokafka raises the bare ``KafkaError`` for unexpected replies, and recovers from them.
    """
    return bool(error.retriable) or isinstance(error, _PASSING) or type(error) is KafkaError


def explain(error: KafkaError, what: str, settings: BusSettings) -> TransientError:
    """Translate an error: TransientError if it passes by itself, otherwise DeniedError.

    Denial is the default, since it loses nothing: the work pauses, readiness shows the text, and the work resumes once
    the rights or the settings are corrected.
    """
    failure = f"broker at {settings.bootstrap} could not {what}: {error!r}"
    if passes(error):
        return TransientError(failure)
    if isinstance(error, _UNAUTHORIZED):
        account = f"the account {settings.sasl_user}" if settings.sasl_user else "this client"
        return DeniedError(
            f"{failure}; check the access rights of {account} on the broker: docs/reference.md#accounts lists them"
        )
    return DeniedError(f"{failure}; check the access rights of this client, the broker's version and SIAD_BUS_*")


async def answered(work: Awaitable[T], what: str, settings: BusSettings) -> T:
    """Wait for the broker's answer, at most the request timeout.

    Raises:
        TransientError: no answer in time, or a transient error.
        DeniedError: the broker denies access or rejects the request.
    """
    try:
        return await asyncio.wait_for(work, settings.request_timeout_s)
    except TimeoutError as error:
        msg = f"broker at {settings.bootstrap} did not answer within {settings.request_timeout_s:g} s: {what}"
        raise TransientError(msg) from error
    except KafkaError as error:
        raise explain(error, what, settings) from error
