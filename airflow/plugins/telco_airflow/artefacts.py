"""What a run leaves in files: a folder of its own, named for the run, under the one that was chosen for all."""

import json
import os
import re
from pathlib import Path
from secrets import token_hex
from typing import Any

from telco_airflow.command import folder
from telco_airflow.deployment import chosen


def run_folder(params: dict[str, Any], run_id: str) -> Path:
    """The run's folder, which stands; a retry gets the same one. A relative choice starts where `telco-stream` runs."""
    place = Path(folder(), chosen(params, "artefacts", "artefacts"), safe(run_id))
    place.mkdir(parents=True, exist_ok=True)
    return place


def safe(run_id: str) -> str:
    """The run's name as one that every file system takes."""
    return re.sub(r"[^\w.+-]", "-", run_id).lstrip(".") or "run"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """The file whole, or as it was."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}.tmp")
    with draft.open("x", encoding="utf-8") as file:
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o777)
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    os.replace(draft, path)  # noqa: PTH105 - the same, and says what it does to an old one
