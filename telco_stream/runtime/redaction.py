"""Removes secrets from log lines and error messages, including those of libraries."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

MASK = "********"

#: Length in characters from which a value is masked anywhere. A shorter one could be a word of any line, and is masked
#: only after the name of its property.
_MIN_LENGTH = 6
_USERINFO = re.compile(r"(?<=://)[^\s/?#\"']+@")
_QUERY = re.compile(r"(?<=\?)[^\s\"']+")
_URL = re.compile(r"\w+://[^\s\"']+")


class Redactor:
    """Masks the credentials in URLs and the registered values of secret properties."""

    def __init__(self) -> None:
        self._secrets: re.Pattern[str] | None = None

    def register(self, secrets: Mapping[str, str]) -> None:
        """Mask the values of these properties, given by name, instead of those registered before."""
        texts = {text for value in secrets.values() for text in _variants(value) if len(text) >= _MIN_LENGTH}
        longest_first = sorted(texts, key=len, reverse=True)
        # With `debug=conf` the client logs a line per property, in which a long value is cut.
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
    """Yield the value and, if it is a URL, its password and query, which a library may print separately."""
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


#: The redactor of this process.
redact = Redactor()
