"""Copies of the committed model that tests can damage."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.cli import ROOT

COMMITTED = ROOT / "models/churn"


def copy_model(into: Path) -> Path:
    return shutil.copytree(COMMITTED, into / "model")


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def replace_artifact(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, and its checksum in the manifest."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(folder, lambda manifest: manifest["artifacts"].update({name: digest}))
