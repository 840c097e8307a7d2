"""Splits the lines of a CSV file into rows, and hashes them."""

import csv
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

_NOT_UTF8, _NUL = "not UTF-8", "holds a NUL byte"
ENCODING_ERRORS = frozenset({_NOT_UTF8, _NUL})


@dataclass(frozen=True, slots=True)
class Records:
    """Lines of the file, the number of the first one, and the rows in them: their fields and first lines.

    `broken` has the index of each row whose quotes or encoding are wrong, and what is wrong; it may lack fields.
    """

    texts: list[str]
    first_line: int
    fields: list[list[str]]
    lines: Sequence[int]
    broken: dict[int, str]

    def text_of(self, index: int) -> str:
        """Return the text of a row, without its line end."""
        start = self.lines[index] - self.first_line
        end = self.lines[index + 1] - self.first_line if index + 1 < len(self.lines) else None
        return "".join(self.texts[start:end]).rstrip("\r\n")


class RecordReader:
    """Reads rows from the lines of a file; blank lines are skipped."""

    def __init__(self, lines: Iterator[str], delimiter: str = ",") -> None:
        """Read lines with their ends, in which `surrogateescape` has replaced bytes that are not UTF-8."""
        self._lines, self._delimiter = lines, delimiter
        self._ahead = deque[str]()  # lines that were read, but belong to the next row
        self._line = 1  # where the next row begins
        self._hash = hashlib.sha256()

    def digest(self) -> str:
        """Return a hash of all bytes up to the end of the last row."""
        return self._hash.hexdigest()

    def read(self, size: int) -> Records:
        """Read the lines of at most `size` rows."""
        texts = list(islice(chain(_drain(self._ahead), self._lines) if self._ahead else self._lines, size))
        text, first = "".join(texts), self._line
        fields = _split(text, texts, self._delimiter)
        if fields is None:
            records = self._parse(texts)
            text = "".join(records.texts)
        else:
            records = Records(texts, first, fields, range(first, first + len(fields)), {})
        self._line += len(records.texts)
        self._hash.update(text.encode(errors="surrogateescape"))
        return records

    def _parse(self, texts: Sequence[str]) -> Records:
        """Parse as many rows as there are texts, which needs further lines if a row has several or lines are blank.

        After an error, the next line begins a row, so that a quote that is not closed spoils one line only.
        """
        records = Records([], self._line, [], lines := [], {})
        fields, read, start = records.fields, records.texts, 0
        self._ahead.extendleft(reversed(texts))
        while len(fields) < len(texts):
            try:
                for row in csv.reader(self._recorded(read), delimiter=self._delimiter, strict=True):
                    if row:
                        fields.append(row)
                        lines.append(self._line + start)
                    start = len(read)
                    if len(fields) == len(texts):
                        break
                else:
                    break
            except csv.Error as error:
                records.broken[len(fields)] = str(error)
                fields.append([])
                lines.append(self._line + start)
                start += 1
                self._ahead.extendleft(reversed(read[start:]))
                del read[start:]
        if _encoding_error("".join(read)):
            reasons = ((index, _encoding_error(records.text_of(index))) for index in range(len(fields)))
            records.broken.update((index, reason) for index, reason in reasons if reason)
        return records

    def _recorded(self, read: list[str]) -> Iterator[str]:
        """Yield the next lines; append each to `read`."""
        for line in chain(_drain(self._ahead), self._lines):
            read.append(line)
            yield line


def _drain(lines: deque[str]) -> Iterator[str]:
    """Take lines from the front until none are left."""
    while lines:
        yield lines.popleft()


def _split(text: str, lines: Sequence[str], delimiter: str) -> list[list[str]] | None:
    """Split plain lines, in half the time of csv.reader; None if a line is blank, has quotes or is not text."""
    if '"' in text or _encoding_error(text) or max(map(len, lines), default=0) > csv.field_size_limit():
        return None
    rows = [line.rstrip("\r\n").split(delimiter) for line in lines]
    return None if [""] in rows else rows


def _encoding_error(text: str) -> str | None:
    """Return what is wrong with a text in which `surrogateescape` has replaced bytes that are not UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return _NOT_UTF8
    return _NUL if "\0" in text else None
