"""Removes secrets from log lines and error messages, whoever wrote them."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

MASK = "********"

#: Characters. A shorter value is masked only behind its property's name: it may be a word of any other line.
_SHORTEST = 6
_USERINFO = re.compile(r"(?<=://)[^\s/?#\"']+@")
_QUERY = re.compile(r"(?<=\?)[^\s\"']+")
_URL = re.compile(r"\w+://[^\s\"']+")


class Redactor:
    """Masks the credentials of every URL, and the values of the secret properties that it has been given."""

    def __init__(self) -> None:
        self._secrets: re.Pattern[str] | None = None

    def register(self, secrets: Mapping[str, str]) -> None:
        """Mask the values of these properties, by name, from now on; replaces those given before."""
        texts = {text for value in secrets.values() for text in _variants(value) if len(text) >= _SHORTEST}
        longest_first = sorted(texts, key=len, reverse=True)
        # The client's `debug=conf` writes a line for each property and may cut its value short.
        patterns = [*(rf"(?<={re.escape(name)} = )(?s:.*)" for name in secrets), *map(re.escape, longest_first)]
        self._secrets = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if self._secrets:
            text = self._secrets.sub(MASK, text)
        return _URL.sub(lambda url: redact_url(url[0]), text) if "://" in text else text


def redact_url(url: str) -> str:
    """Mask the URL's user, password and query."""
    return _QUERY.sub(MASK, _USERINFO.sub(f"{MASK}@", url))


def _variants(value: str) -> Iterator[str]:
    """Yield the value and, if it is a URL, its password and query: a library may print those alone."""
    yield value
    if "://" not in value:
        return
    try:
        url = urlsplit(value)
    except ValueError:
        return
    for text in (url.password, url.query):
        if text:
            yield text
            yield unquote(text)


#: The one redactor of this process.
redact = Redactor()
