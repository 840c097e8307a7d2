"""Profile of the texts of a CSV column, gathered chunk by chunk in bounded memory."""

import math
from array import array
from collections import Counter
from collections.abc import Collection, Sequence

from telco_stream.contract.inference.texts import NUMERIC, Shape, is_whole, null_kind, shape_of
from telco_stream.contract.numbers import json_numbers, match_plain

#: Texts of a column that are counted. When they are more, the rarest ones are forgotten.
MAX_COUNTED = 20_000
#: Numbers of a column that are kept for each label.
MAX_SAMPLED = 20_000


class ColumnProfile:
    """Texts of a column, counted for each label (0 is the negative one), and what they look like."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: Rows by label.
        self.rows = [0, 0]
        #: Rows of each text, by label; without the rarest texts if `is_pruned`.
        self.counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.is_pruned = False
        #: Number of texts of each shape, without texts that may mean null.
        self.shapes: Counter[Shape] = Counter()
        #: Smallest and largest number, and the length of the longest text.
        self.low, self.high, self.longest = math.inf, -math.inf, 0
        #: Whether all texts are whole numbers without white space, plus sign or leading zeros.
        self.is_plain = True
        #: Some of the numbers, by label.
        self.samples = (NumberSample(), NumberSample())
        self.blanks, self.words, self.weak_words = set[str](), set[str](), set[str]()
        self._hashes: array[int] | None = array("q")
        self._next_check = MAX_COUNTED

    def add(self, label: int, texts: Sequence[str]) -> None:
        """Add the texts of rows with this label."""
        new = set(texts)
        if not (self.is_pruned and self.is_numeric):
            for counts in self.counts:  # one by one: `difference` of both takes four times as long
                new = new.difference(counts)
        self._note_hashes(texts, is_new=len(new) == len(texts))
        self.rows[label] += len(texts)
        self._classify(new)
        if self.is_numeric:
            nulls = self.nulls
            self.samples[label].add(texts, nulls)
            if self.is_pruned:  # nothing depends on the rows of one number of many
                texts = [text for text in texts if text in nulls]
        self.counts[label].update(texts)
        if sum(map(len, self.counts)) > MAX_COUNTED:
            self._prune()

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.rows)

    @property
    def is_numeric(self) -> bool:
        """Return whether all texts are numbers, except texts that mean null."""
        return bool(self.shapes) and self.shapes.keys() <= NUMERIC

    @property
    def nulls(self) -> set[str]:
        """Return the texts that mean null."""
        certain = self.blanks | self.words
        return certain | self.weak_words if self.is_numeric or self.shapes.keys() == {"truth"} else certain

    @property
    def values(self) -> set[str]:
        """Return the texts that do not mean null; the frequent ones, if `is_pruned`."""
        return {*self.counts[0], *self.counts[1]} - self.nulls

    def has_more_values_than(self, number: int) -> bool:
        """Return whether there are more values than this number, which is at most half of `MAX_COUNTED`."""
        return self.is_pruned or len(self.values) > number

    @property
    def is_unique(self) -> bool:
        """Return whether each row has another text."""
        return self._hashes is not None and len(set(self._hashes)) == self.total

    def rows_with(self, text: str) -> int:
        """Return how many rows have this text."""
        return self.counts[0][text] + self.counts[1][text]

    def null_rows(self) -> tuple[int, int]:
        """Return how many rows of each label have no value."""
        nulls = self.nulls
        negative, positive = (sum(counts[text] for text in nulls) for counts in self.counts)
        return negative, positive

    def _note_hashes(self, texts: Sequence[str], *, is_new: bool) -> None:
        """Keep hashes, 8 bytes for each row, as long as no text is repeated."""
        if self._hashes is None or not is_new:
            self._hashes = None
            return
        self._hashes.extend(map(hash, texts))
        if len(self._hashes) > self._next_check:
            self._next_check = 2 * len(self._hashes)
            self._hashes = self._hashes if len(set(self._hashes)) == len(self._hashes) else None

    def _classify(self, texts: Collection[str]) -> None:
        self.longest = max(self.longest, max(map(len, texts), default=0))
        self.is_plain = self.is_plain and all(map(match_plain, texts))
        numbers = json_numbers(texts)
        if numbers:
            self.low, self.high = min(self.low, *numbers), max(self.high, *numbers)
            whole = sum(1 for text in texts if is_whole(text))
            self.shapes.update({"whole": whole, "number": len(texts) - whole})
        else:
            has_text = self.is_pruned and "text" in self.shapes
            for text in texts:
                if not self._note_null(text) and not has_text:
                    self._note_shape(text)
        self.shapes = +self.shapes  # without zeros

    def _note_null(self, text: str) -> bool:
        """Remember a text that may mean null; return whether it is one."""
        texts = {"blank": self.blanks, "word": self.words, "weak word": self.weak_words}
        if kind := null_kind(text):
            texts[kind].add(text)
        return kind is not None

    def _note_shape(self, text: str) -> None:
        shape = shape_of(text)
        self.shapes[shape] += 1
        if shape in NUMERIC:
            self.low, self.high = min(self.low, float(text)), max(self.high, float(text))

    def _prune(self) -> None:
        """Forget the rarest texts, except texts that may mean null, until half of the limit is left."""
        self.is_pruned = True
        kept, least = self.blanks | self.words | self.weak_words, 0
        while sum(map(len, self.counts)) > MAX_COUNTED // 2 and least < self.total:
            least += 1
            negative, positive = self.counts
            self.counts = (
                _without_rare(negative, positive, least, kept),
                _without_rare(positive, negative, least, kept),
            )


def _without_rare(counts: Counter[str], others: Counter[str], least: int, kept: Collection[str]) -> Counter[str]:
    """Return the counts without the texts that have at most `least` rows in both, but for those to keep."""
    get = others.get
    return Counter({text: rows for text, rows in counts.items() if rows + get(text, 0) > least or text in kept})


class NumberSample:
    """Every nth number of a column, evenly from its whole length."""

    def __init__(self) -> None:
        self.numbers = array("d")
        self._step, self._rows = 1, 0

    def add(self, texts: Sequence[str], nulls: Collection[str]) -> None:
        """Add numbers of further rows; halve the sample when it is full."""
        first = -self._rows % self._step
        self._rows += len(texts)
        self.numbers.extend(float(text) for text in texts[first :: self._step] if text not in nulls)
        while len(self.numbers) > MAX_SAMPLED:
            self.numbers, self._step = self.numbers[::2], 2 * self._step
