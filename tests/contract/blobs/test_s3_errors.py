"""Which fate each answer of a store has; told by a server that says whatever a test wants."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from siad.contracts.errors import ConflictError, DeniedError, MissingError, TransientError
from siad.runtime.blobs.open import require_conditional_puts
from siad.runtime.blobs.port import IF_ABSENT, PutCondition
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings

Call = Callable[[S3Blobs], object]


@dataclass(frozen=True)
class Answer:
    """What the server says to one request."""

    status: int
    body: bytes = b""
    cut_bytes: int = 0  # so many fewer are sent than were promised
    delay_s: float = 0.0


def problem(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode())


@dataclass
class Parrot:
    """A server; the last answer is repeated for ever."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    port: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    def take(self, request: str) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def parrot() -> Iterator[Parrot]:
    parrot = Parrot()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = parrot.take(f"{self.command} {self.path}")
            parrot.gone.wait(said.delay_s)
            self.send_response(said.status)
            self.send_header("ETag", '"e"')
            self.send_header("Content-Length", str(len(said.body) + said.cut_bytes))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else said.body)
            self.close_connection = said.cut_bytes > 0

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Who gave up waiting has hung up."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    parrot.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield parrot
    parrot.gone.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def blobs(parrot: Parrot) -> S3Blobs:
    return S3Blobs(
        StoreSettings.of(
            {
                "SIAD_STORE_ENDPOINT_URL": f"http://127.0.0.1:{parrot.port}",
                "SIAD_STORE_BUCKET": "plant",
                "SIAD_STORE_ACCESS_KEY": "a",
                "SIAD_STORE_SECRET_KEY": "s",
                "SIAD_STORE_READ_TIMEOUT_S": "0.2",
            }
        )
    )


def get(blobs: S3Blobs) -> object:
    return blobs.get("k")


def put_if_match(blobs: S3Blobs) -> object:
    return blobs.put("k", b"x", condition=PutCondition("seen"))


def list_all(blobs: S3Blobs) -> object:
    return list(blobs.list("images/"))


def probe(blobs: S3Blobs) -> object:
    blobs.probe()
    return None


@pytest.mark.parametrize(
    ("call", "answer", "error", "words"),
    [
        (get, problem(404, "NoSuchKey"), MissingError, r"could not read s3://plant/k: NoSuchKey, so it is"),
        (get, problem(403, "InvalidAccessKeyId"), DeniedError, r"read s3://plant/k.*check SIAD_STORE_ACCESS_KEY"),
        (get, problem(401, "Unauthorized"), DeniedError, r"check SIAD_STORE_ACCESS_KEY"),
        (get, problem(403, "RequestTimeTooSkewed"), DeniedError, r"set the clock of this machine"),
        (list_all, problem(403, "AccessDenied"), DeniedError, r"could not list s3://plant/images/: AccessDenied"),
        (probe, Answer(403), DeniedError, r"could not reach s3://plant/"),
        (put_if_match, problem(412, "PreconditionFailed"), ConflictError, r"another writer was first"),
        (put_if_match, problem(409, "ConditionalRequestConflict"), ConflictError, r"another writer was first"),
        (put_if_match, problem(404, "NoSuchKey"), ConflictError, r"s3://plant/k was deleted, so no etag matches seen"),
        (put_if_match, problem(404, "NoSuchBucket"), MissingError, r"could not write s3://plant/k: NoSuchBucket"),
        (get, Answer(200, b"half of it", cut_bytes=10), TransientError, r"is unavailable, could not read s3://plant/k"),
        (list_all, Answer(200, b"<html>be right back"), TransientError, r"could not list s3://plant/images/"),
        (get, Answer(200, b"late", delay_s=5), TransientError, r"is unavailable, could not read s3://plant/k"),
        (get, problem(503, "SlowDown"), TransientError, r"could not read s3://plant/k: SlowDown"),
        (put_if_match, problem(500, "InternalError"), TransientError, r"could not write s3://plant/k: InternalError"),
        (get, problem(429, "TooManyRequests"), TransientError, r"TooManyRequests"),
        (put_if_match, problem(400, "RequestTimeout"), TransientError, r"RequestTimeout"),
        (put_if_match, problem(501, "NotImplemented"), DeniedError, r"NotImplemented.*supports conditional puts"),
        (get, problem(400, "InvalidArgument"), DeniedError, r"InvalidArgument.*check SIAD_STORE_ENDPOINT_URL"),
        (get, problem(400, "AuthorizationHeaderMalformed"), DeniedError, r"SIAD_STORE_REGION"),
        (get, problem(400, "KeyTooLongError"), MissingError, r"KeyTooLongError"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (str(value.status) if isinstance(value, Answer) else ""),
)
def test_every_answer_has_its_fate(
    parrot: Parrot, blobs: S3Blobs, call: Call, answer: Answer, error: type[Exception], words: str
) -> None:
    parrot.answers = [answer]
    with pytest.raises(error, match=words):
        call(blobs)


def test_one_hiccup_is_not_noticed(parrot: Parrot, blobs: S3Blobs) -> None:
    parrot.answers = [problem(503, "SlowDown"), Answer(200, b"x")]
    assert blobs.get("k").data == b"x"


def test_a_put_sent_again_and_refused_for_anothers_sake_is_a_lost_race(parrot: Parrot, blobs: S3Blobs) -> None:
    parrot.answers = [problem(500, "InternalError"), problem(412, "PreconditionFailed"), Answer(200, b"another's")]
    with pytest.raises(ConflictError):
        blobs.put("k", b"mine", condition=IF_ABSENT)
    assert [request.split()[0] for request in parrot.asked] == ["PUT", "PUT", "GET"]


def test_without_keys_it_says_which_to_set(parrot: Parrot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    blobs = S3Blobs(StoreSettings(endpoint_url=f"http://127.0.0.1:{parrot.port}", bucket="plant"))
    blobs._s3._request_signer._credentials = None  # what boto3 has where it found nothing
    with pytest.raises(DeniedError, match="set SIAD_STORE_ACCESS_KEY"):
        blobs.get("k")
    assert parrot.asked == []


def test_a_store_that_ignores_conditions_is_refused(parrot: Parrot, blobs: S3Blobs) -> None:
    parrot.answers = [Answer(200)]
    with pytest.raises(RuntimeError, match="racing releases would overwrite each other"):
        require_conditional_puts(blobs)


@pytest.mark.parametrize("before", [[], [Answer(200)]], ids=["known-bucket", "new-bucket"])
def test_a_store_that_holds_to_conditions_is_taken(parrot: Parrot, blobs: S3Blobs, before: list[Answer]) -> None:
    parrot.answers = [*before, problem(412, "PreconditionFailed")]
    require_conditional_puts(blobs)
    assert len(parrot.asked) == len(before) + 1
