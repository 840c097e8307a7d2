"""Archives of model folders: the same files always give the same ZIP, and a hostile ZIP is rejected with a reason."""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

#: Largest archive in bytes: `max.message.bytes` of the topic less a reserve for key, headers and the batch.
MAX_ARCHIVE_BYTES = 33_554_432 - 65_536
#: Limits of an archive's content: bytes of all files, and number of files.
_MAX_BYTES = 268_435_456
_MAX_FILES = 64
_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
#: Endings of files that run code when they are loaded; an archive must not hold them.
_PICKLES = (".joblib", ".pickle", ".pkl", ".skops")
#: Mode -rw-r--r-- and system of every file, so that equal files give equal archives.
_MODE = 0o100644 << 16
_UNIX = 3
_ENCRYPTED = 0x1
#: What `zipfile` and `zlib` raise for damaged or unsupported content.
_DAMAGED = (BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError, struct.error, zlib.error)


class ArchiveError(ValueError):
    """Reason why files do not become an archive, or an archive is rejected."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of the files without pickles; raise ArchiveError if a name is not allowed or it is too large."""
    names = sorted(name for name in files if not name.endswith(_PICKLES))
    _check_content([(name, len(files[name])) for name in names])
    target = BytesIO()
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for name in names:
            entry = ZipInfo(name)  # its time is the first of 1980
            entry.create_system, entry.external_attr, entry.compress_type = _UNIX, _MODE, ZIP_DEFLATED
            archive.writestr(entry, files[name])
    content = target.getvalue()
    _check_size(content)
    return content


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the files of a ZIP; raise ArchiveError if it is damaged, or holds what `pack` would not write."""
    _check_size(content)
    try:
        with ZipFile(BytesIO(content)) as archive:
            return dict(_read(archive))
    except ArchiveError:
        raise
    except _DAMAGED as error:
        raise ArchiveError(f"it is not a complete ZIP ({type(error).__name__})") from error


def _read(archive: ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file, once all are checked; a read ends at the size that its entry states."""
    entries = archive.infolist()
    # The reader cuts a name at a NUL, so the original one is checked.
    _check_content([(entry.orig_filename, entry.file_size) for entry in entries])
    for entry in entries:
        if entry.orig_filename.endswith(_PICKLES):
            raise ArchiveError(f"it holds {entry.orig_filename}, which can run any code")
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise ArchiveError(f"{entry.orig_filename} is encrypted, or compressed in another way than deflate")
    for entry in entries:
        yield entry.orig_filename, archive.read(entry)


def _check_content(sizes: list[tuple[str, int]]) -> None:
    names = [name for name, _ in sizes]
    if invalid := [name for name in names if not _NAME.fullmatch(name)]:
        raise ArchiveError(f"{invalid[0]!a:.60} is not allowed as the name of a file")
    if len(set(names)) < len(names):
        raise ArchiveError("it holds two files of the same name")
    if len(names) > _MAX_FILES:
        raise ArchiveError(f"it holds {len(names)} files, more than {_MAX_FILES}")
    if sum(size for _, size in sizes) > _MAX_BYTES:
        raise ArchiveError(f"its files are larger than {_MAX_BYTES:,} bytes")


def _check_size(content: bytes) -> None:
    if len(content) > MAX_ARCHIVE_BYTES:
        raise ArchiveError(f"it has {len(content):,} bytes, more than {MAX_ARCHIVE_BYTES:,}")
