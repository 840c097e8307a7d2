"""Numbers as texts of a CSV column."""

import re
from collections.abc import Collection

import msgspec

_decode = msgspec.json.Decoder(list[float]).decode

#: Match a text that a cell of numbers can have, with white space around it: groups sign, whole part without leading
#: zeros, fraction and exponent.
match_number = re.compile(r"\s*([+-]?)(?=\.?\d)0*(?!0)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*", re.ASCII).fullmatch
#: Match a whole number as JSON writes it: without white space, plus sign or leading zeros.
match_plain = re.compile(r"0|-?[1-9]\d*", re.ASCII).fullmatch


def json_numbers(texts: Collection[str]) -> list[float] | None:
    """Parse texts that are all finite JSON numbers; None if one of them is not.

    One call parses all of them, in about 50 ns each.
    """
    try:
        numbers = _decode(f"[{','.join(texts)}]")
    except msgspec.MsgspecError:
        return None
    return numbers if len(numbers) == len(texts) else None
