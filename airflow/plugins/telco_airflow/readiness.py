"""Checks a consumer's /readyz endpoint."""

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

#: Time limit of a request in seconds.
_TIMEOUT = 10
#: Maximum length of a quoted response in characters.
_MAX_RESPONSE_LENGTH = 300


def readiness_error(url: str) -> str | None:
    """Return an error if the endpoint does not answer 200."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return "The address of /readyz is not an http or https address"
    endpoint = f"{parts.hostname}:{parts.port}{parts.path}" if parts.port else f"{parts.hostname}{parts.path}"
    try:
        with urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - http or https, as checked
            answer.read(0)
    except HTTPError as error:
        text = " ".join(error.read(_MAX_RESPONSE_LENGTH).decode(errors="replace").split())
        return f"{endpoint} answers {error.code}, not 200: {text}"
    except (OSError, HTTPException, ValueError) as error:
        return (
            f"{endpoint} does not answer within {_TIMEOUT} s: {getattr(error, 'reason', None) or type(error).__name__}"
        )
    return None
