"""`telco-stream data fetch`: downloads the public data set and checks its sha256 before the file appears."""

import hashlib
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BufferedWriter
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from telco_stream.csv.reader import fingerprint
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.files import atomic_write

#: IBM's public sample, Apache-2.0.
PUBLIC_URL = "https://raw.githubusercontent.com/IBM/telco-customer-churn-on-icp4d/master/data/Telco-Customer-Churn.csv"
PUBLIC_SHA256 = "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"
#: Bytes; the data set has 970,457.
_MAX_BYTES = 64 * 1024 * 1024
_BLOCK = 1 << 16
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The data set's file; `downloaded` is false if it was there already."""

    path: str
    url: str
    bytes: int
    sha256: str
    downloaded: bool


def fetch(out: Path, *, url: str = PUBLIC_URL, sha256: str = PUBLIC_SHA256, timeout: float = 30.0) -> FetchResult:
    """Write the data at `url` to `out` if they have this sha256; `timeout` is in seconds, for each wait for the server.

    Raises DataError if the download fails or has another sha256, and UsageError if the URL is not https or `out` cannot
    be written.
    """
    if not _is_secure(url):
        raise UsageError(f"Cannot fetch {url}: give an https URL")
    if out.is_file() and fingerprint(out) == sha256:
        return FetchResult(str(out), url, out.stat().st_size, sha256, downloaded=False)
    with _open(url, timeout) as response, atomic_write(out) as file:
        size, actual = _copy(response, file, url)
        if actual != sha256:
            raise DataError(f"{url} sent other data than expected (sha256 {actual}): nothing was written")
    return FetchResult(str(out), url, size, sha256, downloaded=True)


def _is_secure(url: str) -> bool:
    """Return whether the URL is https, or http on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _open(url: str, timeout: float) -> HTTPResponse:
    try:
        response: HTTPResponse = urllib.request.urlopen(url, timeout=timeout)  # noqa: S310 - https, see `_is_secure`
    except HTTPError as error:
        error.close()
        reason = _one_line(error.reason)
        raise DataError(f"{url} answers {error.code} {reason}: check the URL, or try again later") from error
    except (OSError, HTTPException) as error:
        raise _unreachable(url, error) from error
    return response


def _copy(response: HTTPResponse, file: BufferedWriter, url: str) -> tuple[int, str]:
    """Copy the response to the file; return the number of bytes and their sha256."""
    digest = hashlib.sha256()
    size = 0
    while block := _read(response, url):
        size += len(block)
        if size > _MAX_BYTES:
            raise DataError(f"{url} sends more than {_MAX_BYTES} bytes, which is not the data set: nothing was written")
        digest.update(block)
        file.write(block)
    if response.length:
        raise DataError(f"{url} broke off after {size} bytes, {response.length} before the end: try again")
    return size, digest.hexdigest()


def _read(response: HTTPResponse, url: str) -> bytes:
    """Read a block; a network error becomes a DataError here, because an OSError of the file is a UsageError."""
    try:
        return response.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> DataError:
    reason = _one_line(getattr(error, "reason", None) or error)
    return DataError(f"Cannot fetch {url} ({reason}): check the network, or try again later")


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())
