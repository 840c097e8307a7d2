import json
import multiprocessing
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telco_stream.errors import UsageError
from telco_stream.model.artifact import write_folder
from telco_stream.produce.progress import CheckpointFile, PassKey, PassProgress
from telco_stream.report.run import open_outputs
from telco_stream.runtime import files
from telco_stream.runtime.files import atomic_write, temporary_path
from telco_stream.sample import write_sample


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_checkpoint(path: Path) -> None:
    CheckpointFile(path).write(PassProgress(PassKey("/data/a.csv", "sha", "raw")))


def write_report(path: Path) -> None:
    with open_outputs(path) as (file,):
        assert file
        file.write(b"new")


def write_model(path: Path) -> None:
    write_folder(path.parent, {path.name: b"new"}, replace_model=True)


#: All functions of the package that write a file.
WRITERS: dict[str, Callable[[Path], object]] = {
    "manifest.json": write_model,
    "producer.json": write_checkpoint,
    "report.html": write_report,
    "sample.csv": lambda path: write_sample(path, 3, 1, lambda _: None),
}

#: The model's folder is what `train` writes; the checkpoint is not an output that a user names.
CREATE_THEIR_FOLDER = {"manifest.json", "producer.json"}


@pytest.fixture(params=WRITERS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "folder" / str(request.param)


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666], ids=oct)
def test_a_writer_keeps_the_mode_when_a_file_exists(path: Path, umask: int, mode: int) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("{}")
    path.chmod(mode)
    WRITERS[path.name](path)
    assert path.read_bytes() != b"{}"
    assert (mode_of(path), mode_of(path.parent)) == (mode, 0o700), oct(umask)


def test_a_writer_honours_the_umask_when_a_file_is_new(path: Path, umask: int) -> None:
    if path.name not in CREATE_THEIR_FOLDER:
        path.parent.mkdir()
    WRITERS[path.name](path)
    assert (mode_of(path), mode_of(path.parent)) == (0o666 & ~umask, 0o777 & ~umask)


def test_a_writer_creates_no_folder_when_a_user_names_the_file(path: Path) -> None:
    if path.name not in CREATE_THEIR_FOLDER:
        with pytest.raises(UsageError, match="folder does not exist; create it first"):
            WRITERS[path.name](path)
    assert not path.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_writer_keeps_the_owner_when_root_replaces(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{}")
    os.chown(path, 1234, 2345)
    WRITERS[path.name](path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_atomic_write_hides_content_before_the_mode_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    monkeypatch.setattr(files, "copy_owner_and_mode", lambda *_: None)
    with atomic_write(tmp_path / "a"):
        assert [mode_of(file) for file in tmp_path.iterdir() if file.name != "a"] == [0o600]


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_atomic_write_is_refused_when_draft_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An attacker has guessed the name; nothing is written through the link."""
    planted, victim = tmp_path / "planted", tmp_path / "victim"
    if kind == "link":
        victim.write_text("precious")
    if kind == "file":
        planted.write_text("precious")
    else:
        planted.symlink_to(victim)
    monkeypatch.setattr(files, "temporary_path", lambda _: planted)
    with pytest.raises(UsageError, match="File exists"):
        write(tmp_path / "a")
    assert victim.read_text() == "precious" if kind == "link" else not victim.exists()
    assert not (tmp_path / "a").exists()


def test_atomic_write_keeps_a_file_of_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted").write_text("of another process")
    monkeypatch.setattr(files, "temporary_path", lambda _: tmp_path / "planted")
    with pytest.raises(UsageError):
        write(tmp_path / "a")
    assert (tmp_path / "planted").read_text() == "of another process"


def test_temporary_path_is_unique(tmp_path: Path) -> None:
    assert len({temporary_path(tmp_path / "a.json") for _ in range(1_000)}) == 1_000


def test_writers_do_not_collide_when_they_share_a_pid(tmp_path: Path) -> None:
    """The first process of each container has PID 1; the file always holds the content of one writer."""
    path = tmp_path / "producer.json"
    processes = [multiprocessing.get_context("fork").Process(target=_write_often, args=(path, n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["producer.json"]
    json.loads(path.read_text())


def _write_often(path: Path, number: int) -> None:
    os.getpid = lambda: 1
    for _ in range(100):
        write(path, json.dumps(str(number) * 10_000 * (number + 1)).encode())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, UsageError, RuntimeError])
def test_atomic_write_leaves_nothing_when_writing_fails(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(UsageError if error is OSError else error):
        _fail_halfway(tmp_path / "a", error)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "old")]


@pytest.mark.parametrize("writer", [write, write_model])
def test_nothing_is_left_when_interrupted_just_after_the_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Callable[[Path], object]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def create(path: Path, *_: object) -> None:
        path.touch()
        raise KeyboardInterrupt

    def make_folder(path: Path, *_: object, **_options: object) -> None:
        if path.suffix == ".tmp":
            os.mkdir(path)  # noqa: PTH102 - Path.mkdir is replaced
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "create_file", create)
    monkeypatch.setattr(Path, "mkdir", make_folder)
    with pytest.raises(KeyboardInterrupt):
        writer(folder / "manifest.json")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def _fail_halfway(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path) as file:
        file.write(b"half")
        raise error


def test_atomic_write_keeps_a_link_and_replaces_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_atomic_write_is_refused_when_a_link_is_circular(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="symbolic links"):
        write(tmp_path / "loop")


def test_atomic_write_accepts_the_longest_name(tmp_path: Path) -> None:
    write(tmp_path / ("a" * 255))
    write(tmp_path / ("ä" * 127))
    assert len(list(tmp_path.iterdir())) == 2
