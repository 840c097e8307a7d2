"""Reasons as JSON, written for all events of a batch at once: objects for each of them would take twice the time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

#: Most digits of a contribution before the decimal point.
_WHOLE_DIGITS = 3
#: Bytes that are deleted from the text.
_PADDING = b"\0"


class ReasonWriter:
    """Writer of the reasons of one model, with `digits` digits after the decimal point."""

    def __init__(self, features: Sequence[str], digits: int) -> None:
        """Write the text around the contribution of each feature: rows of the same width, filled up with padding."""
        starts = [b',{"feature":%b,"contribution":' % msgspec.json.encode(name) for name in features]
        self._start = max(map(len, starts))
        number = _PADDING * (1 + _WHOLE_DIGITS) + b"." + _PADDING * digits
        rows = [start.ljust(self._start, _PADDING) + number + b"}" + _PADDING * 2 for start in starts]
        self._rows = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
        self._digits = digits

    def write(self, features: NDArray[np.intp], contributions: NDArray[np.float64]) -> list[bytes] | None:
        """Return the list of reasons of each event [events, reasons] as JSON; None if a contribution is too large."""
        numbers = np.rint(contributions * 10.0**self._digits)
        rest = np.abs(numbers)
        if not rest.max(initial=0.0) < 10.0 ** (self._digits + _WHOLE_DIGITS):
            return None
        text = self._rows.take(features, axis=0)  # faster than an index
        text[:, 0, 0] = ord("[")
        text[:, -1, -2:] = ord("]"), ord("\n")
        self._write_digits(text, rest.astype(np.uint64))
        text[:, :, self._start] = (numbers < 0) * ord("-")
        return text.tobytes().translate(None, _PADDING).split(b"\n")[:-1]

    def _write_digits(self, text: NDArray[np.uint8], rest: Any) -> None:  # noqa: ANN401 - an array of unsigned integers
        """Write the digits of the numbers, the last one first; padding instead of zeros at the beginning."""
        point = self._start + 1 + _WHOLE_DIGITS
        for column in [*range(point + self._digits, point, -1), point - 1]:
            tens = rest // 10
            text[:, :, column] = rest - tens * 10 + ord("0")
            rest = tens
        for column in range(point - 2, self._start, -1):
            if not rest.any():
                break
            tens = rest // 10
            text[:, :, column] = np.where(rest, rest - tens * 10 + ord("0"), 0)
            rest = tens
