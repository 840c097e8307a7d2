"""Certificate authorities for tests and certificates for `localhost`, made with the `openssl` command."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: The reason to skip tests that need certificates, or None.
NO_OPENSSL = None if shutil.which("openssl") else "the openssl command is not installed"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: Path
    key: Path


def make_authority(folder: Path, name: str) -> Pair:
    """Create a self-signed certificate authority."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    _openssl("req", "-x509", "-days", "2", "-subj", f"/CN={name}", *_new_key(pair), "-out", pair.certificate)
    return pair


def sign(authority: Pair, folder: Path, name: str, days: int) -> Pair:
    """Create a certificate for `localhost` that is valid for `days`; with -1 it has expired."""
    pair, request, names = Pair(folder / f"{name}.crt", folder / f"{name}.key"), folder / "request", folder / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _openssl("req", "-new", "-subj", "/CN=localhost", *_new_key(pair), "-out", request)
    signer = ("-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial", "-extfile", names)
    _openssl("x509", "-req", "-in", request, "-days", str(days), *signer, "-out", pair.certificate)
    return pair


def _new_key(pair: Pair) -> tuple[str | Path, ...]:
    return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key


def _openssl(*args: str | Path) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True, timeout=30)
