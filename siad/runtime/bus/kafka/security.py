"""Security of Kafka's clients, and reasons of refused connections.

aiokafka logs the reason of a failed connection and raises only "Unable to bootstrap". So after such a failure one more
connection is opened to each address. Its own error tells a refusal, which needs a person, from a broker that is down.
"""

import ssl
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from siad.contracts.errors import DeniedError, TransientError
from siad.runtime.bus.kafka.errors import answered
from siad.runtime.bus.settings import BusSettings


def security_of(settings: BusSettings) -> Mapping[str, Any]:
    """Security arguments of every aiokafka client, read from their files now.

    Raises:
        DeniedError: a file can't be read, or does not hold what it should.
    """
    given: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.endswith("SSL"):
        given["ssl_context"] = _tls_context(settings)
    if settings.security_protocol.startswith("SASL_"):
        given |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_user,
            "sasl_plain_password": _password(settings),
        }
    return given


async def connected(start: Awaitable[object], what: str, settings: BusSettings) -> None:
    """Wait for the start of a client.

    Raises:
        DeniedError: broker and client refuse each other; the text says why.
        TransientError: the broker is unavailable.
    """
    try:
        await answered(start, what, settings)
    except DeniedError:
        raise
    except TransientError as error:
        if isinstance(error.__cause__, KafkaConnectionError):
            await _explain_refusal(settings, error)
        raise


async def _explain_refusal(settings: BusSettings, failure: TransientError) -> None:
    """Connect once more to each address; raise the first reason found."""
    for address in settings.bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            connection = await create_conn(
                host,
                int(port or 9092),
                client_id=settings.client_id,
                request_timeout_ms=int(settings.request_timeout_s * 1000),
                **security_of(settings),
            )
        except (OSError, KafkaError, TimeoutError) as error:
            if refusal := describe_refusal(error, address, settings):
                raise DeniedError(refusal) from error
            # the address is open, and this connection was closed
            if isinstance(error, KafkaConnectionError | ConnectionResetError | ssl.SSLError):
                raise _closed(address, settings) from failure
        else:
            connection.close()
            raise _closed(address, settings) from failure


def describe_refusal(error: BaseException, address: str, settings: BusSettings) -> str | None:
    """What was refused, and what to change; None for other failures."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            ca = settings.tls_ca_file or "the system's certificate authorities (SIAD_BUS_TLS_CA_FILE is not set)"
            return (
                f"the certificate of the broker at {address} is refused: {cause.verify_message}; checked with {ca}. "
                "Renew the broker's certificate, set SIAD_BUS_TLS_CA_FILE to the authority that issued it, or use the "
                "name that it is issued for in SIAD_BUS_BOOTSTRAP"
            )
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            sent = settings.tls_cert_file or "no certificate (SIAD_BUS_TLS_CERT_FILE is not set)"
            return (
                f"the broker at {address} refuses this client's certificate: {(cause.reason or '').lower()}; sent was "
                f"{sent}. Set SIAD_BUS_TLS_CERT_FILE and SIAD_BUS_TLS_KEY_FILE to a valid one that the broker trusts"
            )
        if isinstance(cause, SaslAuthenticationFailed):
            return (
                f"the broker at {address} refuses the account {settings.sasl_user} ({settings.sasl_mechanism}): "
                f"{cause}; correct SIAD_BUS_SASL_USER, or the password in {settings.sasl_password_file}"
            )
        if isinstance(cause, UnsupportedSaslMechanismError | IllegalSaslStateError):
            return (
                f"the broker at {address} takes no {settings.sasl_mechanism} on this port: {cause}; correct "
                "SIAD_BUS_SASL_MECHANISM, SIAD_BUS_SECURITY_PROTOCOL or the port"
            )
    return None


def _closed(address: str, settings: BusSettings) -> TransientError:
    return TransientError(
        f"broker at {address} accepts connections and closes them without an answer to "
        f"{settings.security_protocol}; it is starting, or its port speaks another protocol: check "
        "SIAD_BUS_SECURITY_PROTOCOL and the port in SIAD_BUS_BOOTSTRAP"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _password(settings: BusSettings) -> str:
    path = settings.sasl_password_file
    assert path is not None, "the settings refuse an account without a password file"
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the password of the broker's account can't be read: {error}; correct SIAD_BUS_SASL_PASSWORD_FILE={path}"
        raise DeniedError(msg) from error
    if not password:
        msg = f"the file {path} is empty, so the broker's account has no password; write the password into it"
        raise DeniedError(msg)
    return password


def _tls_context(settings: BusSettings) -> ssl.SSLContext:
    """Context that checks the broker's certificate and its name."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except (ssl.SSLError, OSError) as error:
        msg = f"SIAD_BUS_TLS_CA_FILE={settings.tls_ca_file} holds no certificates that can be read: {error}; write PEM"
        raise DeniedError(msg) from error
    if settings.tls_cert_file is not None:
        try:
            # an encrypted key would ask for its password on the terminal, and wait
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            msg = (
                f"SIAD_BUS_TLS_CERT_FILE={settings.tls_cert_file} and SIAD_BUS_TLS_KEY_FILE={settings.tls_key_file} "
                f"can't be used: {error}; write PEM, the key without a password and belonging to the certificate"
            )
            raise DeniedError(msg) from error
    return context
