"""Time stamps in messages: the one parser of RFC 3339."""

import re
from datetime import datetime
from functools import lru_cache

_from_iso = datetime.fromisoformat
#: RFC 3339, section 5.6, with `T` or `t` between date and time. Without leap seconds (`:60`), which Python cannot hold.
_is_rfc_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
).fullmatch


#: Characters of the longest text that is a time here: anybody may write any number of digits.
_MAX_LENGTH = 64


@lru_cache(maxsize=256)  # events come in bursts that have one time
def parse_timestamp(text: str) -> datetime:
    """Return the time, which has a zone; raise `ValueError` where the text is not a time as in RFC 3339.

    Digits beyond the microsecond are dropped.
    """
    # Each record has a time, and the pattern takes twice as long: of 2026-01-31T12:00:00Z and 2026-01-31T12:00:00.000Z
    # look at the separators only; `fromisoformat` accepts nothing else that has them.
    separators = text[4:20:3]
    if (separators == "--T::." and text[23:] == "Z") or (separators == "--T::Z" and text[20:] == ""):
        if text[11:13] != "24":
            return _from_iso(text)
    elif len(text) <= _MAX_LENGTH and _is_rfc_3339(text):
        return _from_iso(text.upper())
    raise ValueError("not a time as in RFC 3339")
