"""Archives of model folders: deterministic, complete, and hostile ones are rejected."""

import struct
import zipfile
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.registry import archive
from telco_stream.registry.archive import ArchiveError, pack, unpack

FILES = {"manifest.json": b"{}", "contract.json": b"{}" * 99, "pipeline.onnx": bytes(range(256))}
NAMES = st.from_regex(r"\A[a-z0-9_][a-z0-9_.-]{0,20}\Z").filter(lambda name: not name.endswith((".joblib", ".pkl")))


def zip_of(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", method) as written:
        for name, content in entries:
            written.writestr(name, content)
    return target.getvalue()


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=9))
def test_unpack_returns_the_files_that_were_packed(files: dict[str, bytes]) -> None:
    assert unpack(pack(files)) == files
    assert pack(dict(reversed(files.items()))) == pack(files)


def test_pack_leaves_out_pickles() -> None:
    assert unpack(pack(FILES | {"pipeline.joblib": b"."})) == FILES


def test_pack_writes_the_same_bytes_as_on_other_machines() -> None:
    """Names, times, modes and system of the entries depend on nothing but the files."""
    with zipfile.ZipFile(BytesIO(pack(FILES))) as written:
        entries = [(entry.filename, entry.date_time[0], entry.external_attr >> 16) for entry in written.infolist()]
    assert entries == [(name, 1980, 0o100644) for name in sorted(FILES)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a complete ZIP"),
        (b"PK\x03\x04", "not a complete ZIP"),
        (pack(FILES)[:-30], "not a complete ZIP"),
        (zip_of(("../manifest.json", b"")), "not allowed as the name"),
        (zip_of(("/etc/passwd", b"")), "not allowed as the name"),
        (zip_of(("a/b", b"")), "not allowed as the name"),
        (zip_of(("..", b"")), "not allowed as the name"),
        (zip_of(("modèle", b"")), "not allowed as the name"),
        (zip_of(("pipeline.joblib", b"")), "can run any code"),
        (zip_of(*((f"f{number}", b"") for number in range(65))), "65 files"),
        (zip_of(("manifest.json", b"x"), method=zipfile.ZIP_BZIP2), "another way than deflate"),
    ],
)
def test_unpack_rejects_a_hostile_archive(content: bytes, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        unpack(content)


def test_unpack_rejects_two_files_of_the_same_name() -> None:
    content = zip_of(("aaaa", b"1"), ("bbbb", b"2")).replace(b"bbbb", b"aaaa")
    with pytest.raises(ArchiveError, match="two files of the same name"):
        unpack(content)


def test_unpack_rejects_a_name_that_continues_after_nul() -> None:
    content = zip_of(("pipeline.onnx-joblib", b"1")).replace(b"onnx-joblib", b"onnx\0joblib")
    with pytest.raises(ArchiveError, match="not allowed as the name"):
        unpack(content)


def test_unpack_rejects_an_encrypted_file() -> None:
    content = bytearray(zip_of(("manifest.json", b"x")))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ArchiveError, match="encrypted"):
        unpack(bytes(content))


def test_unpack_rejects_a_zip_bomb_without_decompressing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_BYTES", 100_000)
    bomb = zip_of(("a", bytes(50_001)), ("b", bytes(50_000)))
    assert len(bomb) < 1_000
    with pytest.raises(ArchiveError, match="larger than 100,000"):
        unpack(bomb)


def test_unpack_rejects_a_file_larger_than_its_stated_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_BYTES", 100)
    bomb = bytearray(zip_of(("a", bytes(5_000))))
    position = bomb.index(b"PK\x01\x02")
    struct.pack_into("<I", bomb, position + 24, 10)
    with pytest.raises(ArchiveError, match="not a complete ZIP"):
        unpack(bytes(bomb))


@pytest.mark.parametrize("function", [unpack, lambda content: pack({"manifest.json": content})])
def test_pack_and_unpack_reject_more_bytes_than_the_topic_takes(
    function: Callable[[bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(ArchiveError, match="more than 100"):
        function(bytes(range(256)))


@given(st.data())
def test_unpack_raises_nothing_else_when_bytes_are_changed(data: st.DataObject) -> None:
    content = bytearray(pack(FILES))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        files = unpack(bytes(content))
    except ArchiveError:
        return
    assert len(files) <= len(FILES)


def test_pack_rejects_a_name_that_unpack_would_reject() -> None:
    with pytest.raises(ArchiveError, match="not allowed as the name"):
        pack({"a b": b""})
