"""A server that is not Kafka at the broker's address: a one-line error within the timeout."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.in_process import run_in_process

NOWHERE = "127.0.0.1:1"


@contextmanager
def stranger(reply: bytes) -> Iterator[str]:
    """Run a server that answers each connection with `reply` and closes it; yield its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1_000)
            self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def status() -> Callable[[str], str]:
    """Return a function that runs `status`, asserts exit code 3 and returns the error."""

    def ask(broker: str) -> str:
        completed = run_in_process("status", "--broker", broker, "--timeout", "1")
        assert (completed.code, completed.out) == (3, "")
        assert completed.err.count("\n") == 1
        return completed.err

    return ask


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_error_names_the_protocol_when_the_port_is_not_kafka(reply: bytes, status: Callable[[str], str]) -> None:
    """The client's own message would suggest to raise a message size limit."""
    with stranger(reply) as address:
        said = status(address)
    assert f"Kafka at {address} doesn't answer within 1 s: something else answers there" in said
    assert "message.max.bytes" not in said


@pytest.mark.parametrize(
    ("broker", "reason"), [(NOWHERE, "Connection refused"), ("no-such-host.invalid:9092", "Failed to resolve")]
)
def test_wait_for_the_broker_is_logged_before_the_error(broker: str, reason: str) -> None:
    """Not at once, because a broker may be slow, and only once."""
    done = run_in_process("status", "--broker", broker, "--timeout", "4")
    notice, error = done.err.splitlines()
    assert f"INFO Kafka at {broker} has not answered yet ({reason}" in notice
    assert notice.endswith("; waiting up to 4 s")
    assert error.startswith(f"Error: Kafka at {broker} doesn't answer within 4 s: {reason}")
    assert error.endswith("; check --broker, and that it is running")
    assert "(after" not in done.err


def test_wait_for_the_broker_is_not_logged_when_quiet() -> None:
    done = run_in_process("status", "--broker", NOWHERE, "--timeout", "4", "--quiet")
    assert (done.code, done.err.count("\n")) == (3, 1)


def test_error_has_no_numbers_when_the_connection_is_closed(status: Callable[[str], str]) -> None:
    """The client's own message, `0/2 brokers are down`, is confusing."""
    with stranger(b"") as address:
        said = status(address)
    assert f"Kafka at {address} doesn't answer within 1 s" in said
    assert "brokers are down" not in said
