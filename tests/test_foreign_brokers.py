"""Something listens where Kafka should be, and isn't Kafka: one line that says so, within the time-out."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.cli import run_cli


@contextmanager
def stranger(reply: bytes) -> Iterator[str]:
    """Takes what comes, answers with `reply` and closes; yields its address."""

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
    """What `status` says of a broker, once it has ended with 3."""

    def ask(broker: str) -> str:
        done = run_cli("status", "--broker", broker, "--timeout", "1")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.count("\n") == 1
        return done.stderr

    return ask


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_error_names_the_protocol_when_the_port_is_not_kafka(reply: bytes, status: Callable[[str], str]) -> None:
    """The client itself would speak of a message size to be increased."""
    with stranger(reply) as address:
        said = status(address)
    assert f"Kafka at {address} doesn't answer within 1 s: something else answers there" in said
    assert "message.max.bytes" not in said


def test_error_has_no_numbers_when_the_connection_is_closed(status: Callable[[str], str]) -> None:
    """The client's own `0/2 brokers are down` helps nobody who has named one."""
    with stranger(b"") as address:
        said = status(address)
    assert f"Kafka at {address} doesn't answer within 1 s" in said
    assert "brokers are down" not in said
