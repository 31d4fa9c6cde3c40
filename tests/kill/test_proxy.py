"""The real transport through a bad network: no outcome says more than the provider's own log bears out."""

from collections.abc import Iterator

import orjson
import pytest

from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.transport import Accepted, Answer, Call, NotSent, Uncertain
from mailer.sandbox.server import SandboxServer
from tests.kill.proxy import GOOD, Proxy, Way, between

DEADLINE = 1.0
READERS = 40
# Of a body that does not fit into one write.
LARGE = 3_000_000
OFTEN = (1, 200, 1000)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with SandboxServer(database_path=tmp_path_factory.mktemp("proxy") / "sandbox.db") as server:
        yield server


def call(filler: int = 0) -> Call:
    body = {
        "from": {"email": "editor@example.com"},
        "subject": "A letter",
        "content": [{"type": "text/plain", "value": "Hello." + "x" * filler}],
        "personalizations": [{"to": [{"email": f"reader{n}@example.com"}]} for n in range(READERS)],
    }
    return Call(body, orjson.dumps(body), READERS)


def taken(sandbox: SandboxServer) -> int:
    return int(sandbox.mailbox.rows("SELECT count(*) AS n FROM letter")[0]["n"])


def through(
    sandbox: SandboxServer, up: Way = GOOD, down: Way = GOOD, filler: int = 0
) -> tuple[Answer, int, Proxy]:
    """What a call through such a network came to, and how many letters the provider took by it."""
    before = taken(sandbox)
    with between(sandbox.port, up, down) as proxy:
        transport = SendGrid(proxy.url, "SG.test", deadline_seconds=DEADLINE)
        answer = transport.submit(call(filler))
        transport.close()
    # Whatever was under way has reached the provider, or never will.
    settled = SendGrid(sandbox.url, "SG.test", deadline_seconds=20)
    assert isinstance(settled.submit(call()), Accepted)
    settled.close()
    return answer, taken(sandbox) - before - READERS, proxy


def require_honest(answer: Answer, letters: int) -> None:
    """Proof only where it is one: accepted means taken, not sent means not taken."""
    assert letters in (0, READERS)
    if isinstance(answer, Accepted):
        assert letters == READERS
    elif not isinstance(answer, Uncertain):
        assert letters == 0


def test_a_good_network_changes_nothing(sandbox: SandboxServer) -> None:
    answer, letters, _ = through(sandbox)
    assert isinstance(answer, Accepted)
    assert letters == READERS


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("bytes_", [0, *OFTEN])
def test_a_request_cut_on_its_way_is_uncertain_unless_no_byte_had_left(
    sandbox: SandboxServer, bytes_: int, reset: bool
) -> None:
    answer, letters, proxy = through(sandbox, up=Way(cut_after=bytes_, reset=reset))
    require_honest(answer, letters)
    assert letters == 0
    if proxy.passed_up:
        assert isinstance(answer, Uncertain)  # bytes had left, so nobody can know


@pytest.mark.parametrize("reset", [False, True])
def test_a_large_request_cut_in_its_middle_is_uncertain(sandbox: SandboxServer, reset: bool) -> None:
    answer, letters, _ = through(sandbox, up=Way(cut_after=LARGE // 2, reset=reset), filler=LARGE)
    require_honest(answer, letters)
    assert isinstance(answer, Uncertain)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("bytes_", [1, 5, 11, 40])
def test_an_answer_cut_before_its_status_is_uncertain_though_all_was_taken(
    sandbox: SandboxServer, bytes_: int, reset: bool
) -> None:
    answer, letters, _ = through(sandbox, down=Way(cut_after=bytes_, reset=reset))
    require_honest(answer, letters)
    assert letters == READERS
    assert isinstance(answer, Uncertain)


@pytest.mark.parametrize("bytes_", [0, 300, 1_000_000])
def test_a_way_there_that_goes_silent_ends_at_the_deadline(sandbox: SandboxServer, bytes_: int) -> None:
    answer, letters, _ = through(sandbox, up=Way(silent_after=bytes_), filler=LARGE)
    require_honest(answer, letters)
    assert isinstance(answer, Uncertain)  # the system took bytes: that they came to a stop, it cannot say
    assert "no answer within the time" in answer.detail


@pytest.mark.parametrize("bytes_", [0, 10])
def test_a_way_back_that_goes_silent_ends_at_the_deadline(sandbox: SandboxServer, bytes_: int) -> None:
    answer, letters, _ = through(sandbox, down=Way(silent_after=bytes_))
    require_honest(answer, letters)
    assert letters == READERS
    assert isinstance(answer, Uncertain)


def test_an_answer_that_drips_is_read_while_there_is_time(sandbox: SandboxServer) -> None:
    answer, letters, _ = through(sandbox, down=Way(drip_seconds=0.0005))
    require_honest(answer, letters)
    assert isinstance(answer, Accepted)


def test_an_answer_that_drips_too_slowly_is_uncertain(sandbox: SandboxServer) -> None:
    answer, letters, _ = through(sandbox, down=Way(drip_seconds=0.2))
    require_honest(answer, letters)
    assert isinstance(answer, Uncertain)
    assert letters == READERS


def test_a_request_that_drips_is_never_called_not_sent(sandbox: SandboxServer) -> None:
    answer, letters, _ = through(sandbox, up=Way(drip_seconds=0.01))
    require_honest(answer, letters)
    assert isinstance(answer, Uncertain)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\r\n\r\n",
        b"220 mail ESMTP\r\n",
        b"HTTP/9.9 what\r\n\r\n",
        b"\x00" * 4096,
    ],
)
def test_garbage_for_an_answer_is_uncertain(sandbox: SandboxServer, garbage: bytes) -> None:
    answer, letters, _ = through(sandbox, down=Way(garbage=garbage))
    require_honest(answer, letters)
    assert isinstance(answer, Uncertain)
    assert letters == READERS


def test_a_port_that_nobody_listens_on_is_proof_of_not_sent(sandbox: SandboxServer) -> None:
    with between(sandbox.port) as proxy:
        url = proxy.url
    transport = SendGrid(url, "SG.test", deadline_seconds=DEADLINE)
    assert isinstance(transport.submit(call()), NotSent)
    transport.close()
