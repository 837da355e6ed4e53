"""A certificate authority of one test, and one certificate for all names of it, made by openssl(1)."""

import ssl
import subprocess
from pathlib import Path


def openssl(directory: Path, command: str) -> None:
    done = subprocess.run(["openssl", *command.split()], cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"testbed: openssl {command.split()[0]}: {done.stderr}")


def make(directory: Path, names: list[str]) -> None:
    """Writes `ca.pem`, `server.pem` and `server.key`."""
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(directory, f"req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=testbed")
    openssl(directory, f"req {key} -keyout server.key -out server.csr -subj /CN={names[0]}")
    (directory / "extensions").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n")
    sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions"
    openssl(directory, f"{sign} -out server.pem")


def server_context(directory: Path, protocols: list[str] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    if protocols:
        context.set_alpn_protocols(protocols)
    return context
