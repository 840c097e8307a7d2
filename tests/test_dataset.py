"""Downloads of the public data set from a local server that works or fails."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.sample import dataset
from telco_stream.sample.dataset import DEFAULT_PATH, PUBLIC_SHA256, PUBLIC_URL, FetchResult, fetch

CONTENT = b"customerID,gender\n" * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Handler with a method for each path."""

    def do_GET(self) -> None:
        getattr(self, f"_{self.path[1:]}")()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

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

    def _local_file(self) -> None:
        self._answer(302, {"Location": "file:///etc/hostname", "Content-Length": 0}, b"")

    def _endless_redirect(self) -> None:
        self._answer(302, {"Location": "/endless_redirect", "Content-Length": 0}, b"")

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
def server_url() -> Iterator[str]:
    """Return the URL of the server."""
    with serving() as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_fetch_writes_the_data(server_url: str, tmp_path: Path) -> None:
    out = tmp_path / "churn.csv"
    result = fetch(out, url=f"{server_url}/good", sha256=SHA256)
    assert result == FetchResult(str(out), f"{server_url}/good", len(CONTENT), SHA256, downloaded=True)
    assert out.read_bytes() == CONTENT


def test_fetch_creates_only_the_default_folder(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetch(DEFAULT_PATH, url=f"{server_url}/good", sha256=SHA256).downloaded
    with pytest.raises(UsageError, match="dta does not exist"):
        fetch(Path("dta/churn.csv"), url=f"{server_url}/good", sha256=SHA256)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_fetch_downloads_nothing_when_the_file_is_right(tmp_path: Path) -> None:
    """No server listens at the address, so a download would fail."""
    out = tmp_path / "churn.csv"
    out.write_bytes(CONTENT)
    result = fetch(out, url="http://127.0.0.1:1/good", sha256=SHA256)
    assert result == FetchResult(str(out), "http://127.0.0.1:1/good", len(CONTENT), SHA256, downloaded=False)


def test_fetch_replaces_the_file_when_it_is_another(server_url: str, tmp_path: Path) -> None:
    out = tmp_path / "churn.csv"
    out.write_text("stale")
    assert fetch(out, url=f"{server_url}/good", sha256=SHA256).downloaded
    assert out.read_bytes() == CONTENT


def test_fetch_follows_redirects(server_url: str, tmp_path: Path) -> None:
    assert fetch(tmp_path / "churn.csv", url=f"{server_url}/moved", sha256=SHA256).bytes == len(CONTENT)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("other", "sent other data than expected"),
        ("truncated", "broke off after 100000 bytes, 260000 before the end"),
        ("chunked", "IncompleteRead"),
        ("missing", "answers 404 Not Found"),
        ("silent", "timed out"),
        ("stalled", "timed out"),
        ("endless", "more than 1000000 bytes"),
        ("local_file", "answers 302"),
        ("endless_redirect", "answers 302"),
        ("garbage", "Cannot fetch"),
    ],
)
def test_fetch_keeps_the_old_file_when_the_download_fails(
    server_url: str, tmp_path: Path, path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one line with exit code 5, and no temporary file is left."""
    monkeypatch.setattr(dataset, "_MAX_BYTES", 1_000_000)
    out = tmp_path / "churn.csv"
    out.write_text("old")
    with pytest.raises(DataError) as caught:
        fetch(out, url=f"{server_url}/{path}", sha256=SHA256, timeout=0.3)
    assert caught.value.exit_code == 5
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_fetch_fails_when_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="refused") as caught:
        fetch(tmp_path / "churn.csv", url="http://127.0.0.1:1/good", sha256=SHA256, timeout=2)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x.csv", "ftp://127.0.0.1/x", "file:///etc/hostname", "x.csv", "", "https://", "https://[::"],
)
def test_fetch_refuses_the_url_when_it_is_not_https(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError):
        fetch(tmp_path / "churn.csv", url=url, sha256=SHA256)


def test_fetch_fails_when_the_file_cannot_be_written(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot write"):
        fetch(tmp_path, url=f"{server_url}/good", sha256=SHA256)


def test_public_url_is_https_and_its_checksum_a_sha256() -> None:
    assert PUBLIC_URL.startswith("https://raw.githubusercontent.com/IBM/")
    assert len(bytes.fromhex(PUBLIC_SHA256)) == 32
