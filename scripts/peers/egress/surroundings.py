"""What the clients talk to, beside the servers of every testbed: a git repository, a package index, an object
store, PostgreSQL, and Node's server of HTTP/2."""

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

USER = "aseptic-test"  # Made by scripts/setup.sh. PostgreSQL does not run as root.

HTTP2 = """
import http2 from "node:http2";
import fs from "node:fs";
const keys = { key: fs.readFileSync("server.key"), cert: fs.readFileSync("server.pem") };
http2.createSecureServer(keys, (request, answer) => answer.end("h2")).listen(8443, "::");
"""


def must(command: list[str], directory: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"peers: `{' '.join(command)}` ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def make(directory: Path) -> None:
    """Everything that is served; `directory` is that of the testbed, which comes later."""
    make_repository(directory)
    make_index(directory / "www/pypi.example.org/simple")
    bucket = directory / "www/s3.example.org/bucket"
    bucket.mkdir(parents=True)
    (bucket / "numbers.bin").write_bytes(bytes(range(256)) * 16)
    (directory / "http2.mjs").write_text(HTTP2)


def make_repository(directory: Path) -> None:
    work = directory / "repository"
    work.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    must([*git, "init", "--quiet"], work)
    for name in ("first", "second"):
        (work / name).write_text(name * 1000)
        must([*git, "add", "."], work)
        must([*git, "commit", "--quiet", "-m", f"the {name}"], work)
    (directory / "git").mkdir()
    must(["git", "clone", "--quiet", "--bare", str(work), str(directory / "git/project.git")], directory)


def make_index(simple: Path) -> None:
    """An index of one package, as in the simple repository API."""
    name = "testbed_package-1.0-py3-none-any.whl"
    files = {
        "testbed_package.py": 'SAYS = "installed from the index"\n',
        "testbed_package-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: testbed-package\nVersion: 1.0\n",
        "testbed_package-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "testbed_package-1.0.dist-info/RECORD"
    digests = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in files.items()
    ]
    package = simple / "testbed-package"
    package.mkdir(parents=True)
    with zipfile.ZipFile(package / name, "w") as wheel:
        for path, text in {**files, record: "\n".join([*digests, f"{record},,"]) + "\n"}.items():
            wheel.writestr(path, text)
    (package / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>\n')


def start(directory: Path) -> list[subprocess.Popen]:
    """In the testbed: the servers that are programs. They end with this process at the latest."""
    postgres = start_postgres(directory)
    node = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "node", "http2.mjs"], cwd=directory)
    wait_for(8443, node)
    return [postgres, node]


def stop(servers: list[subprocess.Popen]) -> None:
    for server in servers:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def start_postgres(directory: Path) -> subprocess.Popen:
    """As the user of the tests where this is root; without a password, for who can reach it."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    data = directory / "postgres"
    data.mkdir(mode=0o700)
    become = ["setpriv", "--pdeathsig", "QUIT", "--inh-caps=-all"]
    if os.geteuid() == 0:
        shutil.chown(data, USER, USER)
        become += ["--reuid", USER, "--regid", USER, "--init-groups"]
    initdb = [*become, str(programs / "initdb"), "-D", str(data), "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8"]
    must(initdb, Path("/"), LC_ALL="C")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("hostssl all all 0.0.0.0/0 trust\n")
    for name in ("server.pem", "server.key"):
        shutil.copy(directory / name, data / name)
        (data / name).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(data / name, USER, USER)
    settings = {
        "listen_addresses": "*",
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": "server.pem",
        "ssl_key_file": "server.key",
        "fsync": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [*become, str(programs / "postgres"), "-D", str(data), *options]
    with (directory / "postgres.log").open("w") as log:
        server = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
    wait_for(5432, server)
    return server


def wait_for(port: int, server: subprocess.Popen) -> None:
    while True:
        if server.poll() is not None:
            sys.exit(f"peers: the server of port {port} ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.01)
