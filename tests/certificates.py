"""Certificates for one test: an authority, a server for `localhost`, a client; made by openssl, good for a day."""

from __future__ import annotations

import subprocess
from pathlib import Path

SUBJECT_ALT_NAME = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def make_certificates(folder: Path) -> dict[str, Path]:
    """PEM files: `ca`, `certificate` and `key` of the server, `client` and `client_key`."""
    _authority(folder, "ca")
    _signed(folder, "server")
    _signed(folder, "client")
    return {
        "ca": folder / "ca.pem",
        "certificate": folder / "server.pem",
        "key": folder / "server.key",
        "client": folder / "client.pem",
        "client_key": folder / "client.key",
    }


def _authority(folder: Path, name: str) -> None:
    _openssl(
        "req", "-x509", *_new_key(folder, name), "-subj", f"/CN={name}", "-days", "1", "-out", folder / f"{name}.pem"
    )


def _signed(folder: Path, name: str) -> None:
    request, extension = folder / f"{name}.csr", folder / f"{name}.ext"
    extension.write_text(SUBJECT_ALT_NAME)
    _openssl("req", *_new_key(folder, name), "-subj", f"/CN={name}", "-out", request)
    by = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", extension)
    _openssl("x509", "-req", "-in", request, *by, "-days", "1", "-out", folder / f"{name}.pem")


def _new_key(folder: Path, name: str) -> tuple[str | Path, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    return (*curve, "-keyout", folder / f"{name}.key")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
