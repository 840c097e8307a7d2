"""CSV files as people have them, which are not part of the repository: other delimiters, headers and encodings."""

import os
from pathlib import Path

import pytest

from tests.support.cli import ROOT

FOLDER = Path(os.environ.get("TELCO_STREAM_TEST_CASES", ROOT.parent / "shared/cases"))

needs_cases = pytest.mark.skipif(
    not FOLDER.exists(),
    reason=f"the files aren't at {FOLDER} (TELCO_STREAM_TEST_CASES); other tests write files of the same kinds",
)
