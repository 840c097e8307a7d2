"""Fetching the public data set, from a server on this machine that behaves, and from ones that don't."""

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request

import pytest

from telco_stream import dataset
from telco_stream.dataset import PUBLIC_SHA256, PUBLIC_URL, FetchResult, fetch
from telco_stream.errors import DataError, UsageError

CONTENT = b"customerID,gender\n" * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Each path is one way to behave."""

    def do_GET(self) -> None:
        getattr(self, f"_{self.path[1:]}")()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""

    def _good(self) -> None:
        self._answer(200, {"Content-Length": len(CONTENT)}, CONTENT)

    def _other(self) -> None:
        self._answer(200, {"Content-Length": 3}, b"odd")

    def _truncated(self) -> None:
        self._answer(200, {"Content-Length": len(CONTENT)}, CONTENT[:100_000])

    def _chunked(self) -> None:
        self._answer(200, {"Transfer-Encoding": "chunked"}, b"5\r\nhal")

    def _endless(self) -> None:
        self._answer(200, {}, CONTENT * 3)

    def _missing(self) -> None:
        self._answer(404, {"Content-Length": 0}, b"")

    def _silent(self) -> None:
        self.server.released.wait(20)  # type: ignore[attr-defined]

    def _stalled(self) -> None:
        self._answer(200, {"Content-Length": len(CONTENT)}, CONTENT[:100_000])
        self.wfile.flush()
        self._silent()

    def _moved(self) -> None:
        self._answer(302, {"Location": "/good", "Content-Length": 0}, b"")

    def _lured(self) -> None:
        self._answer(302, {"Location": "http://example.org/good", "Content-Length": 0}, b"")

    def _circle(self) -> None:
        self._answer(302, {"Location": "/circle", "Content-Length": 0}, b"")

    def _garbage(self) -> None:
        self.wfile.write(b"no HTTP at all\r\n\r\n")

    def _answer(self, status: int, headers: dict[str, object], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """Address of the server."""
    with serving() as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_the_data_set_appears_with_the_right_content(home: str, tmp_path: Path) -> None:
    """The folder is made where there is none."""
    out = tmp_path / "data" / "churn.csv"
    result = fetch(out, url=f"{home}/good", sha256=SHA256)
    assert result == FetchResult(str(out), f"{home}/good", len(CONTENT), SHA256, downloaded=True)
    assert out.read_bytes() == CONTENT


def test_what_is_there_already_is_not_fetched_again(tmp_path: Path) -> None:
    """Nobody listens at that address."""
    out = tmp_path / "churn.csv"
    out.write_bytes(CONTENT)
    result = fetch(out, url="http://127.0.0.1:1/good", sha256=SHA256)
    assert result == FetchResult(str(out), "http://127.0.0.1:1/good", len(CONTENT), SHA256, downloaded=False)


def test_another_file_of_that_name_is_replaced(home: str, tmp_path: Path) -> None:
    out = tmp_path / "churn.csv"
    out.write_text("stale")
    assert fetch(out, url=f"{home}/good", sha256=SHA256).downloaded
    assert out.read_bytes() == CONTENT


def test_a_redirect_on_a_safe_way_is_followed(home: str, tmp_path: Path) -> None:
    assert fetch(tmp_path / "churn.csv", url=f"{home}/moved", sha256=SHA256).bytes == len(CONTENT)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("other", "holds other data than expected"),
        ("truncated", "broke off after 100000 bytes, 260000 before the end"),
        ("chunked", "IncompleteRead"),
        ("missing", "answers 404 Not Found"),
        ("silent", "timed out"),
        ("stalled", "timed out"),
        ("endless", "more than 1000000 bytes"),
        ("lured", "leads to http://example.org/good: only https"),
        ("circle", "answers 302"),
        ("garbage", "Cannot fetch"),
    ],
)
def test_a_failure_leaves_what_was_there_and_says_why(
    home: str, tmp_path: Path, path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, exit code 5, no draft left behind."""
    monkeypatch.setattr(dataset, "_MAX_BYTES", 1_000_000)
    out = tmp_path / "churn.csv"
    out.write_text("old")
    with pytest.raises(DataError) as caught:
        fetch(out, url=f"{home}/{path}", sha256=SHA256, timeout=0.3)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_nobody_listening_is_a_failure_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="refused") as caught:
        fetch(tmp_path / "churn.csv", url="http://127.0.0.1:1/good", sha256=SHA256, timeout=2)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x.csv", "ftp://127.0.0.1/x", "file:///etc/hostname", "x.csv", "", "https://", "https://[::"],
)
def test_an_unsafe_or_senseless_address_is_a_wrong_option(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError):
        fetch(tmp_path / "churn.csv", url=url, sha256=SHA256)


def test_an_https_address_may_not_lead_to_this_machine() -> None:
    """A redirect from outside would reach what listens here only."""
    safe = dataset._SafeRedirects()
    with pytest.raises(DataError, match="leads to"):
        safe.redirect_request(
            Request("https://example.org/x"), io.BytesIO(), 302, "", HTTPMessage(), "http://127.0.0.1/x"
        )


def test_a_place_that_can_not_be_written_is_a_wrong_option(home: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot write"):
        fetch(tmp_path, url=f"{home}/good", sha256=SHA256)


def test_the_public_home_is_https_and_its_checksum_a_sha256() -> None:
    assert PUBLIC_URL.startswith("https://raw.githubusercontent.com/IBM/")
    assert len(bytes.fromhex(PUBLIC_SHA256)) == 32
