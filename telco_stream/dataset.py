"""`telco-stream data fetch`: the public data set, checked before it appears under its name."""

import hashlib
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from io import BufferedWriter
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request

from telco_stream.atomic import replacing
from telco_stream.csv.reader import fingerprint
from telco_stream.errors import DataError, UsageError

#: IBM's public sample, Apache-2.0.
PUBLIC_URL = "https://raw.githubusercontent.com/IBM/telco-customer-churn-on-icp4d/master/data/Telco-Customer-Churn.csv"
PUBLIC_SHA256 = "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"
#: Bytes; the data set has 970,457.
_MAX_BYTES = 64 * 1024 * 1024
_BLOCK = 1 << 16
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_HTTPS_ONLY = "only https is followed, so that nobody on the way can change it"


@dataclass(frozen=True, slots=True)
class FetchResult:
    """Where the data set is; `downloaded` is false where it was there already."""

    path: str
    url: str
    bytes: int
    sha256: str
    downloaded: bool


def fetch(out: Path, *, url: str = PUBLIC_URL, sha256: str = PUBLIC_SHA256, timeout: float = 30.0) -> FetchResult:
    """The file at `out`, with this sha256; `timeout` is the seconds that the server may be silent.

    Raises DataError where the data can't be had or is other data, as the exit code 3 is Kafka's alone; UsageError for
    another scheme than https, and where `out` can't be written.
    """
    if not _is_safe(url):
        raise UsageError(f"Cannot fetch {url}: {_HTTPS_ONLY}")
    if out.is_file() and fingerprint(out) == sha256:
        return FetchResult(str(out), url, out.stat().st_size, sha256, downloaded=False)
    with _open(url, timeout) as response, replacing(out) as file:
        size, found = _copy(response, file, url)
        if found != sha256:
            raise DataError(f"{url} holds other data than expected (sha256 {found}): nothing was written")
    return FetchResult(str(out), url, size, sha256, downloaded=True)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows where the way stays safe."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - urllib's own signature
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The next request; raises DataError for an unsafe one."""
        if not _is_safe(newurl) or (_is_loopback(newurl) and not _is_loopback(req.full_url)):
            fp.close()
            raise DataError(f"{req.full_url} leads to {newurl}: {_HTTPS_ONLY}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_safe(url: str) -> bool:
    """HTTPS, or a server on this very machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(url)))


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def _open(url: str, timeout: float) -> HTTPResponse:
    try:
        response: HTTPResponse = urllib.request.build_opener(_SafeRedirects).open(url, timeout=timeout)
    except HTTPError as error:
        error.close()
        reason = _one_line(error.reason)
        raise DataError(f"{url} answers {error.code} {reason}: check the address, or try again later") from error
    except (OSError, HTTPException) as error:
        raise _unreachable(url, error) from error
    return response


def _copy(response: HTTPResponse, file: BufferedWriter, url: str) -> tuple[int, str]:
    """Bytes copied, and their sha256."""
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
    """The next bytes. Trouble on the network must not look like trouble with the file, and both are OSError."""
    try:
        return response.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> DataError:
    reason = _one_line(getattr(error, "reason", None) or error)
    return DataError(f"Cannot fetch {url} ({reason}): check the network, or try again later")


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())
