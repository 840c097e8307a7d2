"""A consumer's own word on whether it makes progress: its /readyz."""

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

#: Seconds for an answer.
_PATIENCE = 10
#: Characters of an answer that are shown.
_SHOWN = 300


def not_ready(url: str) -> str | None:
    """What the page says is wrong; None where it answers 200."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return "The address of /readyz is no http or https one"
    place = f"{parts.hostname}:{parts.port}{parts.path}" if parts.port else f"{parts.hostname}{parts.path}"
    try:
        with urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310 - http or https, as checked
            answer.read(0)
    except HTTPError as error:
        said = " ".join(error.read(_SHOWN).decode(errors="replace").split())
        return f"{place} answers {error.code}, not 200: {said}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{place} doesn't answer within {_PATIENCE} s: {getattr(error, 'reason', None) or type(error).__name__}"
    return None
