"""How far a pass over a file has come: in a file of its own, and the same as the note beside an offset in Kafka."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from telco_stream.errors import DataError

#: What `--restart` does, for the messages that offer it.
_RESTART = "--restart starts over"


@dataclass(frozen=True, slots=True)
class Pass:
    """Which rows go where: a file with this content, to that topic, perhaps under the name of a run."""

    file: str
    fingerprint: str
    topic: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass has come; every row up to `last_processed_index` (from 0) is confirmed by the broker."""

    of: Pass
    last_processed_index: int = -1
    last_event_ts: str | None = None
    total_sent: int = 0
    complete: bool = False
    mode: str = "batch"
    #: Ids of runs over the same file and topic that have come to their end: they send nothing again.
    finished_runs: tuple[str, ...] = ()
    #: Tells this pass from an earlier one over the same file.
    pass_id: str = field(default_factory=lambda: uuid4().hex)

    def advanced(self, rows: int, event_ts: str | None) -> "Progress":
        """So many rows further."""
        return replace(
            self,
            last_processed_index=self.last_processed_index + rows,
            last_event_ts=event_ts,
            total_sent=self.total_sent + rows,
        )

    def completed(self) -> "Progress":
        """At its end."""
        runs = dict.fromkeys((*self.finished_runs, *([self.of.run_id] if self.of.run_id else [])))
        return replace(self, complete=True, finished_runs=tuple(runs))


def start_of(wanted: Pass, found: Progress | None, *, restart: bool = False) -> Progress:
    """Where the wanted pass begins, given what was found; raises `DataError` where that belongs to another pass."""
    if found is None or restart:
        return Progress(wanted)
    same_place = (found.of.file, found.of.topic) == (wanted.file, wanted.topic)
    runs = found.finished_runs if same_place else ()
    if wanted.run_id in runs:
        return replace(found, of=wanted, complete=True)
    if found.complete or found.mode != "batch":
        return Progress(wanted, finished_runs=runs)
    _refuse_another(wanted, found.of)
    return found


def _refuse_another(wanted: Pass, found: Pass) -> None:
    if (found.file, found.topic) != (wanted.file, wanted.topic):
        raise DataError(
            f"The checkpoint is of an unfinished pass of {found.file} to {found.topic}; finish that one, give"
            f" another --checkpoint-file, or {_RESTART}"
        )
    if found.fingerprint != wanted.fingerprint:
        raise DataError(f"{wanted.file} has changed since the checkpoint was written; {_RESTART}")
    if found.run_id != wanted.run_id:
        raise DataError(f"The checkpoint is of the unfinished run {found.run_id or '(no id)'}; {_RESTART}")


def to_json(progress: Progress) -> str:
    """One line, as the file and Kafka keep it."""
    fields = asdict(progress)
    return json.dumps(fields | fields.pop("of"))


def from_json(text: str) -> Progress:
    """The progress in such a line; raises `ValueError` where it isn't one."""
    try:
        fields = json.loads(text)
        of = Pass(*(fields[name] for name in Pass.__dataclass_fields__))
        return Progress(
            of,
            int(fields["last_processed_index"]),
            fields["last_event_ts"],
            int(fields["total_sent"]),
            bool(fields["complete"]),
            str(fields["mode"]),
            tuple(fields["finished_runs"]),
            str(fields["pass_id"]),
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"lacks {error}") from error


class CheckpointFile:
    """The file: written whole or not at all, and kept through a power cut."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Progress | None:
        """What it says; None where there is none. Raises `DataError` where it can't be understood."""
        try:
            return from_json(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(f"Checkpoint {self.path} can't be read ({error}); {_RESTART}") from error

    def write(self, progress: Progress) -> None:
        """Replace it."""
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                file.write(to_json(progress) + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise DataError(f"Checkpoint {self.path} can't be written: {error.strerror}") from error
