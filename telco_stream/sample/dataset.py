"""`telco-stream data fetch`: downloads the public data set and checks its sha256 before the file appears."""

import hashlib
import logging
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from telco_stream.csv.reader import fingerprint
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.files import atomic_write

log = logging.getLogger("telco_stream.sample")

#: Where the data set is written by default; its folder is created.
DEFAULT_PATH = Path("data/telco_customer_churn.csv")
#: IBM's public sample, Apache-2.0.
PUBLIC_URL = "https://raw.githubusercontent.com/IBM/telco-customer-churn-on-icp4d/master/data/Telco-Customer-Churn.csv"
PUBLIC_SHA256 = "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"
#: Bytes; the data set has 970,457.
_MAX_BYTES = 64 * 1024 * 1024
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
    with atomic_write(out, create_folder=out == DEFAULT_PATH) as file:
        data = _download(url, timeout)
        actual = hashlib.sha256(data).hexdigest()
        if actual != sha256:
            raise DataError(f"{url} sent other data than expected (sha256 {actual}): nothing was written")
        file.write(data)
    return FetchResult(str(out), url, len(data), sha256, downloaded=True)


def _is_secure(url: str) -> bool:
    """Return whether the URL is https, or http on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _download(url: str, timeout: float) -> bytes:
    """Return the whole content; raises DataError if the server does not send it, or more than the data set."""
    log.debug("requesting %s", url)
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 - https, see `_is_secure`
            data: bytes = response.read(_MAX_BYTES + 1)
    except HTTPError as error:
        error.close()
        reason = _one_line(error.reason)
        raise DataError(f"{url} answers {error.code} {reason}: check the URL, or try again later") from error
    except (OSError, HTTPException) as error:
        reason = _one_line(getattr(error, "reason", None) or error)
        raise DataError(f"Cannot fetch {url} ({reason}): check the network, or try again later") from error
    if len(data) > _MAX_BYTES:
        raise DataError(f"{url} sends more than {_MAX_BYTES} bytes, which is not the data set: nothing was written")
    if response.length:
        raise DataError(f"{url} broke off after {len(data)} bytes, {response.length} before the end: try again")
    return data


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())
