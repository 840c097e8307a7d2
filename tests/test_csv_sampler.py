"""Drawing random rows from a CSV file."""

import random
from itertools import islice
from pathlib import Path

import pytest

from telco_stream.csv.sampler import open_sampler
from telco_stream.errors import DataError
from telco_stream.sample.synthetic import synthesize
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.telco import FORMAT


def test_draw_repeats_rows_when_seed_is_the_same(tmp_path: Path) -> None:
    """Another seed draws others; every row can be drawn, and more than once."""
    path = write_table(tmp_path, *(",".join(fields) for fields in islice(synthesize(1), 50)))
    with open_sampler(path, FORMAT) as sampler:
        first, again, other = ([row.key for row in sampler.draw(random.Random(s), 2_000)] for s in (1, 1, 2))
    assert first == again != other
    assert len(sampler) == len(set(first)) == 50


def test_draw_is_the_same_when_split_into_several_calls(tmp_path: Path) -> None:
    """A seed draws the same rows with every batch size."""
    path = write_table(tmp_path, *(",".join(fields) for fields in islice(synthesize(1), 50)))
    one, parts = random.Random(3), random.Random(3)
    with open_sampler(path, FORMAT) as sampler:
        whole = [row.key for row in sampler.draw(one, 30)]
        assert whole == [row.key for size in (1, 9, 20) for row in sampler.draw(parts, size)]


class SequentialRandom(random.Random):
    """Draws the first of `count` rows, then the second, and so on."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._values = iter([(index + 0.5) / count for index in range(count)])

    def random(self) -> float:
        return next(self._values)


def test_draw_finds_rows_after_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    """Among 5,000 rows, so that the file is read in several blocks."""
    ids = [f"{number}\nsecond, line" if number % 3 else f"{number}" for number in range(5_000)]
    path = write_table(
        tmp_path, *(line for text in ids for line in (customer(customerID=f'"{text}"'), "")), bom="\ufeff"
    )
    with open_sampler(path, FORMAT) as sampler:
        assert [row.key for row in sampler.draw(SequentialRandom(5_000), 5_000)] == ids


def test_draw_fails_when_the_file_has_changed(tmp_path: Path) -> None:
    path = write_table(tmp_path, *[customer()] * 9)
    with open_sampler(path, FORMAT) as sampler:
        path.write_text(HEADER + "\n")
        with pytest.raises(DataError, match="has changed"):
            sampler.draw(random.Random(1), 5)


def test_open_sampler_fails_when_the_file_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows after its header"), open_sampler(write_table(tmp_path), FORMAT):
        pass
