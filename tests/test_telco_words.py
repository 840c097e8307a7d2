"""The package knows the columns and the words of the public data set only where they belong."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.telco import COLUMNS, CONTRACT

PACKAGE = ROOT / "telco_stream"
#: Files about the public data set, and the words by which `contract infer` recognises labels.
ALLOWED_FILES = {
    "contract/telco.json",
    "contract/inference/candidates.py",
    "sample/synthetic.py",
    "sample/dataset.py",
}
#: Names that are the same for every contract: default names of the settings, JSON keys, and the metric's old name.
ALLOWED_NAMES = (
    "telco.churn.predictions",
    "telco.churn.outcomes",
    "churn-prediction-group",
    "models/churn",
    "data/telco_customer_churn.csv",
    "churners",
    "churn_rate",
    '{prefix}churn_probability"',
)
#: The column that is also the name of a class.
CLASS_NAME = "Contract"
COLUMN = re.compile(r"\b(?:" + "|".join({*COLUMNS} - {CLASS_NAME, CONTRACT.label.name}) + r")\b")
QUOTED = re.compile(r"""(["'])(?:Yes|No)\1|(?<!-> )(?<!: )(["'])Contract\2""")
OUTCOME = re.compile("churn", re.IGNORECASE)


@pytest.mark.parametrize("words", [COLUMN, QUOTED, OUTCOME], ids=["columns", "values", "label"])
def test_package_has_no_words_of_telco_outside_its_contract(words: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path, number, line in lines_of_the_package()
        if words.search(line)
    ]
    assert found == []


def test_allowed_names_are_all_in_use() -> None:
    text = "".join(path.read_text() for path in sources())
    assert [name for name in ALLOWED_NAMES if name not in text] == []
    assert [name for name in ALLOWED_FILES if not (PACKAGE / name).is_file()] == []


def lines_of_the_package() -> Iterator[tuple[Path, int, str]]:
    """Yield the lines of all files that are not allowed to have the words, without the allowed names."""
    for path in sources():
        if path.relative_to(PACKAGE).as_posix() not in ALLOWED_FILES:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for name in ALLOWED_NAMES:
                    line = line.replace(name, "")  # noqa: PLW2901
                yield path, number, line


def sources() -> list[Path]:
    suffixes = {".py", ".html", ".js", ".css", ".json"}
    return sorted(path for path in PACKAGE.rglob("*") if path.suffix in suffixes)
