"""TLS, client certificates and SASL on a real Kafka: what works, and what is said of each refusal."""

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from siad.apps.local.doctor.bus_check import check_bus
from siad.contracts.errors import DeniedError, TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Message
from tests.fixtures.kafka import quick_settings
from tests.fixtures.kafka_secured import PASSWORD, Authority, SecuredKafka

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("listener", ["SCRAM", "CLEAR", "MUTUAL"])
async def test_every_client_works_on_a_secured_listener(secured_kafka: SecuredKafka, listener: str) -> None:
    bus, name = KafkaBus(secured_kafka.settings(listener)), f"work-{uuid.uuid4().hex}"
    state = f"state-{uuid.uuid4().hex}"
    await bus.create_topics([Topic(name, "work", "ingest", ()), Topic(state, "state", "ingest", ())])
    await bus.probe()
    async with bus.producer() as producer, bus.consumer([name], group=f"g-{name}", start="earliest") as consumer:
        await producer.publish([Message(topic=name, key="k", value=b"x"), Message(topic=state, key="k", value=b"s")])
        async with asyncio.timeout(30):
            while not (records := await consumer.poll(max_records=10, timeout_s=0.5)):
                pass
    assert [record.value for record in records] == [b"x"]
    async with bus.state(state) as reader:
        assert {key: record.value for key, record in (await reader.snapshot()).items()} == {"k": b"s"}
    async with bus.tail(name, last=10) as log:
        assert [record.value async for batch in log.backlog() for record in batch] == [b"x"]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that the broker does not trust, with a client's certificate and an expired one."""
    authority = Authority(tmp_path_factory.mktemp("stranger") / "stranger")
    authority.issue("client")
    return authority


def changes_of(case: str, secured: SecuredKafka, stranger: Authority, folder: Path) -> Mapping[str, object]:
    """Settings of a client at fault."""
    own = secured.authority.folder
    (folder / "wrong").write_text("wrong\n")
    (folder / "empty").write_text("\n")
    secured.authority.issue("old", days=-1)
    cases: dict[str, dict[str, object]] = {
        "wrong password": {"sasl_password_file": folder / "wrong"},
        "no password": {"sasl_password_file": folder / "empty"},
        "unknown user": {"sasl_user": "intruder"},
        "mechanism": {"sasl_mechanism": "SCRAM-SHA-256"},
        "unknown authority": {"tls_ca_file": stranger.ca},
        "authority of the system": {"tls_ca_file": None},
        "no certificates": {"tls_ca_file": folder / "wrong"},
        "no client certificate": {"tls_cert_file": None, "tls_key_file": None},
        "client of another authority": {
            "tls_cert_file": stranger.folder / "client.crt",
            "tls_key_file": stranger.folder / "client.key",
        },
        "expired client": {"tls_cert_file": own / "old.crt", "tls_key_file": own / "old.key"},
        "key of another certificate": {"tls_key_file": own / "broker.key"},
    }
    return cases.get(case, {})


@pytest.mark.parametrize(
    ("listener", "case", "told"),
    [
        ("SCRAM", "wrong password", "refuses the account siad .*invalid credentials.*or the password in .*wrong"),
        ("CLEAR", "wrong password", "refuses the account siad .*invalid credentials"),
        ("SCRAM", "no password", "empty, so the broker's account has no password"),
        ("SCRAM", "unknown user", "refuses the account intruder"),
        ("SCRAM", "mechanism", "takes no SCRAM-SHA-256 on this port"),
        ("SCRAM", "unknown authority", "certificate of the broker .* is refused: .*certificate.*checked with .*ca.crt"),
        ("SCRAM", "authority of the system", "is refused: .*the system's certificate authorities"),
        ("SCRAM", "no certificates", "SIAD_BUS_TLS_CA_FILE=.* holds no certificates"),
        ("EXPIRED", "", "is refused: certificate has expired"),
        ("OTHER", "", "is refused: IP address mismatch"),
        ("MUTUAL", "no client certificate", "refuses this client's certificate: .*sent was no certificate"),
        ("MUTUAL", "client of another authority", "refuses this client's certificate: .*sent was .*client.crt"),
        ("MUTUAL", "expired client", "refuses this client's certificate: .*sent was .*old.crt"),
        ("MUTUAL", "key of another certificate", "can't be used: .*key values mismatch"),
    ],
)
async def test_a_refusal_is_told_as_denied(
    secured_kafka: SecuredKafka, stranger: Authority, tmp_path: Path, listener: str, case: str, told: str
) -> None:
    settings = secured_kafka.settings(listener, **changes_of(case, secured_kafka, stranger, tmp_path))
    bus = KafkaBus(settings)
    for work in (bus.probe(), _publish(bus), _consume(bus)):
        with pytest.raises(DeniedError, match=told) as caught:
            await work
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("listener", "changes"),
    [
        (
            "MUTUAL",
            {"security_protocol": "PLAINTEXT", "tls_ca_file": None, "tls_cert_file": None, "tls_key_file": None},
        ),
        ("CLEAR", {"security_protocol": "PLAINTEXT", "sasl_user": None, "sasl_password_file": None}),
    ],
)
async def test_a_client_without_security_is_told_what_the_port_may_want(
    secured_kafka: SecuredKafka, listener: str, changes: Mapping[str, object]
) -> None:
    with pytest.raises(TransientError, match=r"closes them without an answer to PLAINTEXT.*SIAD_BUS_SECURITY_PROTOCOL"):
        await KafkaBus(secured_kafka.settings(listener, **changes)).probe()


async def test_tls_on_a_port_without_is_told(secured_kafka: SecuredKafka) -> None:
    settings = secured_kafka.settings("SCRAM", bootstrap=secured_kafka.node.bootstrap, request_timeout_s=3)
    with pytest.raises(TransientError, match="SIAD_BUS_SECURITY_PROTOCOL"):
        await KafkaBus(settings).probe()


async def test_a_corrected_password_needs_no_restart(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    mounted = tmp_path / "password"
    mounted.write_text("old\n")
    bus = KafkaBus(secured_kafka.settings("SCRAM", sasl_password_file=mounted))
    async with bus.producer() as producer:
        topic = f"work-{uuid.uuid4().hex}"
        await KafkaBus(quick_settings(secured_kafka.node.bootstrap)).create_topics([Topic(topic, "work", "ingest", ())])
        with pytest.raises(DeniedError):
            await producer.publish([Message(topic=topic, key="k", value=b"x")])
        mounted.write_text(PASSWORD)
        await producer.publish([Message(topic=topic, key="k", value=b"x")])


async def test_the_doctor_says_what_is_refused(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    settings = secured_kafka.settings("SCRAM", sasl_password_file=tmp_path / "wrong")
    (found,) = await check_bus(KafkaBus(settings), settings.bootstrap, "press-3")
    assert "refuses this client" in found.what
    assert "refuses the account siad" in found.what
    assert "start the broker" not in str(found)


async def _publish(bus: KafkaBus) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic="any", key="k", value=b"x")])


async def _consume(bus: KafkaBus) -> None:
    async with bus.consumer(["any"], group="any", start="earliest"):
        pass
