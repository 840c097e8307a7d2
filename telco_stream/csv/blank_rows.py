"""Finds the blank rows at the end of a CSV file, which hold nothing but blanks and delimiters."""

import codecs
import os
import re
from io import BufferedReader

#: Bytes that are read at a time, backwards from the end of the file.
_BLOCK = 1 << 16


def start_of_text(file: BufferedReader) -> int:
    """Return the byte at which the text begins, after a byte order mark; `file` is at its start."""
    has_mark = file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8)
    return len(codecs.BOM_UTF8) if has_mark else 0


def end_of_rows(file: BufferedReader, delimiter: str) -> int | None:
    """Return the byte at which blank rows at the end of the file begin, or None without any; leave `file` at its start.

    Only lines that hold nothing but white space, delimiters and quoted white space count. As the quotes of each are
    closed, it does not begin or end inside a field of several lines.
    """
    start = _start_of_blanks(file, delimiter)
    file.seek(start)
    is_blank = _blank_row(delimiter).fullmatch
    end = start + (len(file.readline()) if start else 0)  # the rest of the last row
    position, has_blank_rows = end, False
    while line := file.readline():
        position += len(line)
        blank_row = is_blank(line)
        has_blank_rows = blank_row is not None and (has_blank_rows or line.strip(b"\r\n") != b"")
        end = end if blank_row else position
    file.seek(0)
    return end if has_blank_rows else None


def _start_of_blanks(file: BufferedReader, delimiter: str) -> int:
    """Return the byte from which the file holds nothing but white space, delimiters and quotes."""
    blanks = b' \t\r\n\f\v"' + delimiter.encode()
    position = file.seek(0, os.SEEK_END)
    while position:
        size = min(position, _BLOCK)
        file.seek(position - size)
        if filled := file.read(size).rstrip(blanks):
            return position - size + len(filled)
        position -= size
    return 0


def _blank_row(delimiter: str) -> re.Pattern[bytes]:
    separator = re.escape(delimiter.encode())
    blanks = rb"(?:(?!" + separator + rb")[ \t\f\v])*"
    value = rb"(?:" + blanks + rb'|"' + blanks + rb'")'
    return re.compile(value + rb"(?:" + separator + value + rb")*[\r\n]*")
