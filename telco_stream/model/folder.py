"""Writing a model folder: whole, or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from telco_stream.errors import UsageError
from telco_stream.model.artifact import MANIFEST, ONNX, PIPELINE
from telco_stream.runtime.atomic import copy_owner_and_mode, create_file, status, temporary_path


def check_target(folder: Path) -> None:
    """Raises UsageError where a model must not be written: the folder is replaced, with all that is in it."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one for the model")
    if others := sorted({entry.name for entry in folder.iterdir()} - {MANIFEST, PIPELINE, ONNX}):
        raise UsageError(f"{folder} holds other things than a model ({others[0]}): give a folder of its own")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces the folder by one with these files; whoever looks finds the old ones, none, or the new ones.

    Modes and owners of what is replaced are kept; what is new gets the mode that the umask gives.
    """
    check_target(folder)
    folder = folder.resolve()  # a link stays a link
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
    """The old folder steps aside for the draft, and back again if that fails."""
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
