"""`--verbose` shows more on stderr, with every command that has it."""

import pytest

from docs.generate.commands import COMMANDS
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process

_UNREACHABLE = {"TELCO_STREAM_BOOTSTRAP_SERVERS": "localhost:1"}
#: Arguments that a command needs, by its name.
_REQUIRED = {
    "produce": ["--mode", "batch", "--timeout", "0.2"],
    "dlq show": ["0:0"],
    "predictions show": ["1234-ABCDE"],
    "explain": ["--customer", "1234-ABCDE"],
    "outcomes send": ["missing.csv"],
    "contract infer": ["missing.csv"],
    "contract check": ["missing.json"],
    "sample": ["--out", "sample.csv", "--rows", "3"],
    "train": ["--data-path", "missing.csv"],
    "model import": ["missing", "--data", "missing.csv"],
    "model publish": ["missing"],
    "model recalibrate": ["missing", "--out", "new"],
    "model promote": ["v2"],
    "model compare": ["missing", "v2", "--data", "missing.csv"],
    "data fetch": ["--out", "missing/data.csv"],
}
#: What a command shows with --verbose only.
_DETAILS = {
    "config show": "settings: bootstrap_servers from environment TELCO_STREAM_BOOTSTRAP_SERVERS",
    "model show": f"is in {ROOT / 'models/churn'}",
    "sample": "wrote ",
    "verify": "new admin client for localhost:1",
    "status": "new admin client for localhost:1",
    "consume": "is in ",
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_verbose_has_an_effect(name: str) -> None:
    """Kafka is unreachable and some files are missing, so that most commands fail after their first lines."""
    arguments = [*name.split(), *_REQUIRED.get(name, [])]
    needs_kafka = "--broker" in run_in_process(*arguments, "--help", env={}).out and name != "config show"
    timeout = ["--timeout", "0.2"] if needs_kafka and "--timeout" not in arguments else []
    quiet, verbose = (run_in_process(*arguments, *timeout, *more, env=_UNREACHABLE) for more in ([], ["--verbose"]))
    assert (quiet.code, "telco-stream 0" in quiet.err) == (verbose.code, False)
    assert "DEBUG telco-stream " in verbose.err
    assert _DETAILS.get(name, "") in verbose.err
