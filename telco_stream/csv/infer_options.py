"""Options of `contract infer`: checks against each other and the header, and the command line that repeats them."""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from telco_stream.contract.inference.draft import ROW_ID, is_contract_name, is_noun
from telco_stream.contract.inference.features import has_valid_name
from telco_stream.csv.header import similar_name
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.files import STDOUT

#: Path of the contract that is written by default.
DEFAULT_OUT = Path("contract.json")
#: Similarity from 0 to 1 from which on a name of the file is suggested: lower than in a header, since a user typed it.
_SIMILAR = 0.6


@dataclass(frozen=True, slots=True)
class InferOptions:
    """Options of the command; a file without a key has its rows numbered."""

    path: Path
    out: Path = DEFAULT_OUT
    key: str | None = None
    label: str | None = None
    positive: str | None = None
    number_rows: bool = False
    delimiter: str = ","
    segments: Sequence[str] = ()
    left_out: Sequence[str] = ()
    entity: str | None = None
    name: str | None = None
    replace: bool = False

    @property
    def has_key(self) -> bool:
        """Return whether the key is named, or the rows are numbered instead."""
        return self.key is not None or self.number_rows

    @property
    def is_complete(self) -> bool:
        """Return whether no role is left open."""
        return self.has_key and self.label is not None and self.positive is not None

    @property
    def command(self) -> str:
        """Return the command line, which a shell can run."""
        column_flags = [word for flag in self._column_flags() for word in flag]
        positive = ["--positive", self.positive] if self.positive is not None else []
        texts = {"--entity": self.entity, "--name": self.name, "--out": None if self.out == DEFAULT_OUT else self.out}
        named = [word for flag, text in texts.items() if text is not None for word in (flag, str(text))]
        replace = ["--replace"] if self.replace else []
        words = [*column_flags, *positive, *self._format_flags(), *named, *replace]
        return shlex.join(["telco-stream", "contract", "infer", str(self.path), *words])

    @property
    def training_command(self) -> str:
        """Return the command line that trains a model with the contract."""
        words = ["--contract", str(self.out), "--data-path", str(self.path), *self._format_flags()]
        return shlex.join(["telco-stream", "train", *words, "--out", f"models/{self.path.stem}"])

    def check(self) -> None:
        """Raise `UsageError` if the options contradict each other or name an existing file to write."""
        if self.key and self.number_rows:
            raise UsageError("`--key` and `--number-rows`: only the rows of a file without a key are numbered")
        if self.key and self.key == self.label:
            raise UsageError(f"`--key` and `--label` both name `{self.key}`: they are different columns")
        if named := {self.key, self.label}.intersection(self.left_out):
            raise UsageError(f"`--leave-out` names `{named.pop()}`, which is the key or the label")
        if self.positive is not None and not self.label:
            raise UsageError("`--positive` is a value of the label: name the label's column with `--label`")
        if self.name is not None and not is_contract_name(self.name):
            raise UsageError("`--name`: use up to 63 lower-case letters, digits and hyphens, a letter first")
        if self.entity is not None and not is_noun(self.entity):
            raise UsageError("`--entity`: use a noun of up to 40 letters, such as `customer`")
        if self.is_complete and self.out.exists() and self.path.exists() and self.out.samefile(self.path):
            raise UsageError("`--out` is the file to read; name another file")
        if self.is_complete and self.out != STDOUT and not self.replace and os.path.lexists(self.out):
            raise UsageError(f"{self.out} exists: `--replace` overwrites it, `--out` names another file")

    def check_header(self, header: Sequence[str]) -> None:
        """Raise `UsageError` if the file lacks columns that the options name, `DataError` for names with blanks around.

        Such names are an accident: they look like others, and a contract cannot have them.
        """
        if padded := [name for name in header if name.strip() and name != name.strip() and name not in self.left_out]:
            count = "1 name" if len(padded) == 1 else f"{len(padded)} names"
            raise DataError(
                f"{self.path}, line 1: {count} with white space at an end, such as `{padded[0]}`; remove it"
            )
        for flag, name in self._column_flags():
            if name not in header:
                raise UsageError(f"`{flag}`: {self.path} has no column `{name}`{_suggestion(name, header)}")
            if header.count(name) > 1:
                raise UsageError(f"`{flag}`: {self.path} has {header.count(name)} columns `{name}`; rename them")
            if flag != "--leave-out" and not has_valid_name(name):
                raise UsageError(
                    f"`{flag}`: rename `{name}` in {self.path}, without quotes and white space at its ends"
                )
        if self.number_rows and ROW_ID in header:
            raise UsageError(f"{self.path} has a column `{ROW_ID}`: use `--key {ROW_ID}`, not `--number-rows`")

    def _format_flags(self) -> list[str]:
        """Return the options that say how to read the file."""
        delimiter = "tab" if self.delimiter == "\t" else self.delimiter
        return [
            *(["--number-rows"] if self.number_rows else []),
            *(["--delimiter", delimiter] if delimiter != "," else []),
        ]

    def _column_flags(self) -> Iterator[tuple[str, str]]:
        """Yield the options that name columns of the file."""
        for flag, name in (("--key", self.key), ("--label", self.label)):
            if name:
                yield flag, name
        yield from (("--segment", name) for name in self.segments)
        yield from (("--leave-out", name) for name in self.left_out)


def _suggestion(name: str, header: Sequence[str]) -> str:
    """Return a question with the most similar name of a column, or about the header."""
    if similar := similar_name(name, header, _SIMILAR):
        return f"; did you mean `{similar}`?"
    # Not its names: without a header, they would be the data of a person.
    return f"; it has {len(header)} columns; is its first line a header?"
