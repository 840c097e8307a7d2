"""Atomic replacement of a model folder."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from telco_stream.errors import UsageError
from telco_stream.model.artifact import MANIFEST, ONNX, PIPELINE
from telco_stream.runtime.atomic import copy_owner_and_mode, create_file, status, temporary_path


def check_target(folder: Path) -> None:
    """Raise UsageError if the path is not a folder or holds other files, which replacing the folder would delete."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give a folder for the model")
    if others := sorted({entry.name for entry in folder.iterdir()} - {MANIFEST, PIPELINE, ONNX}):
        raise UsageError(
            f"{folder} holds files that do not belong to a model ({others[0]}): give an empty or new folder"
        )


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the folder by one with these files. A reader sees the old folder, no folder, or the complete new one.

    Replaced files keep their mode and owner; new ones get the mode of the umask. Raise UsageError if writing fails.
    """
    check_target(folder)
    folder = folder.resolve()  # replace the target of a link, not the link
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft, before = temporary_path(folder), status(folder)
        draft.mkdir(0o700 if before else 0o777)
        try:
            _fill(draft, folder, files)
            if before:
                copy_owner_and_mode(draft, before)
            _swap(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"Cannot write the model to {folder}: {error.strerror or error}") from error


def _fill(draft: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        with create_file(draft / name, status(folder / name)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _swap(draft: Path, folder: Path) -> None:
    """Rename the old folder and move the draft to its path; restore the old one if that fails."""
    old = draft.with_name(f"{draft.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        draft.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
