"""Public data sets, which are not part of the repository: that of telecom customers, and those of other schemas."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import ROOT

FOLDER = Path(os.environ.get("TELCO_STREAM_TEST_FOREIGN_DATA", ROOT.parent / "shared/data/foreign"))
TELCO = Path(os.environ.get("TELCO_STREAM_TEST_DATA", ROOT.parent / "shared/data/telco_customer_churn.csv"))
NO_TELCO_DATA = f"the public data set isn't at {TELCO}: see TELCO_STREAM_TEST_DATA"

needs_foreign_data = pytest.mark.skipif(
    not (FOLDER.exists() or os.environ.get("CI")),
    reason=f"the foreign data sets aren't at {FOLDER}: see TELCO_STREAM_TEST_FOREIGN_DATA",
)
needs_telco_data = pytest.mark.skipif(not (TELCO.exists() or os.environ.get("CI")), reason=NO_TELCO_DATA)


@dataclass(frozen=True, slots=True)
class ForeignData:
    """A data set without a key: its file's name, label and positive value, and its numbers of rows and features."""

    name: str
    label: str
    positive: str
    rows: int
    features: int

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return FOLDER / f"{self.name}.csv"


FOREIGN = (
    ForeignData("mlc_churn", "churn", "yes", 5_000, 19),
    ForeignData("credit_data", "Status", "bad", 4_454, 13),
    ForeignData("attrition", "Attrition", "Yes", 1_470, 30),
    ForeignData("stackoverflow", "Remote", "Remote", 5_594, 20),
)
