"""`docs/models.md` and `docs/contract.md`: their scripts and commands work."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from telco_stream.contract.document import builtin_content, decode_contract
from telco_stream.model.artifact import load_scorer, read_manifest
from telco_stream.model.manifest import Manifest
from tests.support.cli import ROOT
from tests.support.csv_files import write_accounts
from tests.support.pages import command_lines
from tests.support.scripts import env_with_path, run_script, write_launchers

MODEL_PAGE = ROOT / "docs/models.md"
CONTRACT_PAGE = ROOT / "docs/contract.md"
_SCRIPT = re.compile(r"^```python\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_launchers(tmp_path_factory.mktemp("commands"))


@pytest.mark.slow
def test_models_page_commands_run(commands: Path, tmp_path: Path) -> None:
    """The commands create four models: one with another threshold, two imported ones, and a compiled forest."""
    pytest.importorskip("lightgbm")
    for name, content in _SCRIPT.findall(MODEL_PAGE.read_text()):
        (tmp_path / name).write_text(content)
    written = run_script(command_lines(MODEL_PAGE), tmp_path, env_with_path(commands))
    assert "compiled: yes" in written
    assert [load_scorer(tmp_path / "models" / name).engine for name in ("forest", "extra")] == ["onnx", "onnx"]
    assert any(engine.serves for engine in read_manifest(tmp_path / "models/boosted").engines)
    edited = json.loads((tmp_path / "models/mine/manifest.json").read_text())
    assert edited["threshold"] == 0.5
    assert edited["model_version"].endswith("-half")


def test_contract_page_commands_run(commands: Path, tmp_path: Path) -> None:
    """The page's contract is valid, and the commands write it as a draft, the built-in contract and the JSON Schema."""
    (content,) = _blocks("json")
    write_accounts(tmp_path / "customers.csv")
    written = run_script(command_lines(CONTRACT_PAGE), tmp_path, env_with_path(commands))
    assert written.count("The contract is valid.") == 2
    drafted, described = (
        decode_contract(text) for text in ((tmp_path / "contract.json").read_bytes(), content.encode())
    )
    assert (drafted.key, drafted.segments, drafted.missing) == (described.key, described.segments, described.missing)
    assert drafted.label.positive == described.label.positive
    assert "The contracts are the same." in written
    assert (tmp_path / "telco.json").read_bytes() == builtin_content()
    schema = json.loads((tmp_path / "contract.schema.json").read_text())
    jsonschema.validate({"$schema": "./contract.schema.json"} | json.loads(content), schema)


def test_contract_page_quotes_the_built_in_contract() -> None:
    quoted = [line for block in _blocks("") for line in block.splitlines()]
    lines = {line.strip(" ,") for line in builtin_content().decode().splitlines()}
    assert len(quoted) > 8
    assert [line for line in quoted if line.strip(" ,") not in lines] == []


def test_models_page_describes_each_manifest_key() -> None:
    table = MODEL_PAGE.read_text().partition("## Manifest")[2]
    assert re.findall(r"^- `(\w+)`:", table, re.MULTILINE) == list(Manifest.__annotations__)


def _blocks(language: str) -> list[str]:
    """Return the code blocks of the contract's page in a language."""
    return [text for name, text in _BLOCK.findall(CONTRACT_PAGE.read_text()) if name == language]
