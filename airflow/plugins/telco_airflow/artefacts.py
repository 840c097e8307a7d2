"""The files of a run, in a folder named for the run."""

import json
import os
import re
from pathlib import Path
from secrets import token_hex
from typing import Any

from telco_airflow.command import folder
from telco_airflow.variables import chosen


def run_folder(params: dict[str, Any], run_id: str) -> Path:
    """Create the run's folder and return it; a relative path starts where `telco-stream` runs."""
    path = Path(folder(), chosen(params, "artefacts", "artefacts"), safe_name(run_id))
    path.mkdir(parents=True, exist_ok=True)
    return path


def safe_name(run_id: str) -> str:
    """Return the run's ID as a file name that is valid on every file system."""
    return re.sub(r"[^\w.+-]", "-", run_id).lstrip(".") or "run"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace the file atomically."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}.tmp")
    with draft.open("x", encoding="utf-8") as file:
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o777)
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    os.replace(draft, path)  # noqa: PTH105 - Path.replace does the same; this name says that it overwrites
