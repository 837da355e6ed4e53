"""Archives at servers of others: WebDAV of rclone, plain and with TLS, and S3 of moto.

Each place gets a dataset and gives it back to another ledger; what is damaged there is refused by name, wrong
credentials are said to be wrong, and a second archive does not replace the first.
"""

import argparse
import base64
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

PASSWORD = "correct-horse"
BUCKET = "archive"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, server):
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"the server ended: {server.args}")


def certificate(place):
    """An authority, and a certificate of it for this machine."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority, key, cert = place / "authority.pem", place / "key.pem", place / "cert.pem"
    own = ["-keyout", place / "authority.key", "-out", authority, "-subj", "/CN=authority"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    signed = ["-CA", authority, "-CAkey", place / "authority.key", "-keyout", key, "-out", cert, "-subj", "/CN=localhost"]
    for options in (own, [*signed, *names]):
        subprocess.run(["openssl", "req", "-x509", *curve, *options], check=True, capture_output=True)
    return key, cert, authority


def webdav(place, options, scheme):
    port, root = free_port(), place / "dav"
    root.mkdir()
    command = ["rclone", "serve", "webdav", root, "--addr", f"127.0.0.1:{port}", "--user", "me", "--pass", PASSWORD]
    server = subprocess.Popen([*command, "--config", place / "none", *options], stderr=subprocess.DEVNULL)
    wait_for(port, server)
    token = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    variables = {"ASEPTIC_ARCHIVE_AUTHORIZATION": f"Basic {token}"}

    def file_of(name):
        return root / "deep/er/digits" / name

    def damage(name):
        data = bytearray(file_of(name).read_bytes())
        data[len(data) // 2] ^= 1
        file_of(name).write_bytes(data)

    wrong = {"ASEPTIC_ARCHIVE_AUTHORIZATION": "Basic d3Jvbmc6d3Jvbmc="}
    return server, f"{scheme}://localhost:{port}/deep/er/digits", variables, wrong, damage


def s3(place, python):
    port = free_port()
    code = "import sys; from moto.server import main; main(sys.argv[1:])"
    command = [python, "-c", code, "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place)
    wait_for(port, server)
    variables = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-somebody",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    script = """
import boto3, sys
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1",
                      aws_access_key_id="someone", aws_secret_access_key="a-secret-of-somebody")
if sys.argv[2] == "make":
    client.create_bucket(Bucket=sys.argv[3])
else:
    name = "some/digits/" + sys.argv[2]
    data = bytearray(client.get_object(Bucket=sys.argv[3], Key=name)["Body"].read())
    data[len(data) // 2] ^= 1
    client.put_object(Bucket=sys.argv[3], Key=name, Body=bytes(data))
"""

    def ask(what):
        subprocess.run([python, "-c", script, variables["AWS_ENDPOINT_URL"], what, BUCKET], check=True)

    ask("make")
    return server, f"s3://{BUCKET}/some/digits", variables, None, ask


class Check:
    """One place, used as its users use it."""

    def __init__(self, name, aseptic, place, variables):
        self.name, self.aseptic, self.place, self.variables = name, aseptic, place, variables
        self.failed = 0

    def run(self, ledger, *words, variables=None):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.place), "ASEPTIC_HOME": str(self.place / ledger)}
        environment |= self.variables if variables is None else variables
        command = [self.aseptic, *words]
        done = subprocess.run(command, env=environment, cwd=self.place, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def expect(self, what, code, text, done):
        good = done[0] == code and text in done[1]
        print(f"  {'ok' if good else 'FAILED'}  {self.name}: {what}")
        if not good:
            self.failed += 1
            print(f"    exit {done[0]}, expected {code} and `{text}`:\n{done[1]}")

    def all(self, url, wrong, damage):
        archived = self.run("a", "archive", "digits", url)
        self.expect("archive", 0, "archived digits@1", archived)
        if archived[0] != 0:
            return
        self.expect("archive again", 0, "checked digits@1", self.run("a", "archive", "digits", url))
        self.expect("another one", 2, "archive/occupied", self.run("a", "archive", "other", url))
        self.expect("restore elsewhere", 0, "restored digits@1", self.run("b", "restore", url))
        self.expect("verify", 0, "verified digits@1", self.run("b", "dataset", "verify", "digits"))
        self.run("a", "retention", "set", "digits@1", "0d")
        self.run("a", "gc", "--now")
        self.expect("restore at home", 0, "restored digits@1", self.run("a", "restore", url))
        if wrong:
            done = self.run("a", "restore", url, variables=self.variables | wrong)
            self.expect("wrong credentials", 5, "archive/denied", done)
        self.expect("nothing there", 2, "archive/missing", self.run("a", "restore", url + "-none"))
        damage("format")
        self.expect("damage", 4, "format is damaged", self.run("c", "restore", url))
        shown = self.run("a", "ledger", "show", "--json")
        secrets = [value for key, value in self.variables.items() if "SECRET" in key or "AUTHORIZATION" in key]
        self.expect("no secret in the ledger", 0, "", shown)
        self.failed += any(secret in shown[1] for secret in secrets)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aseptic", required=True)
    parser.add_argument("--python", required=True, help="one that has moto")
    arguments = parser.parse_args()
    failed = 0
    for name in ("webdav", "webdav-tls", "s3"):
        with tempfile.TemporaryDirectory(prefix="aseptic-archives-") as directory:
            place = pathlib.Path(directory)
            extra = {}
            if name == "s3":
                server, url, variables, wrong, damage = s3(place, arguments.python)
            else:
                options = []
                if name == "webdav-tls":
                    key, cert, authority = certificate(place)
                    options, extra = ["--cert", cert, "--key", key], {"SSL_CERT_FILE": str(authority)}
                scheme = "https" if options else "http"
                server, url, variables, wrong, damage = webdav(place, options, scheme)
            try:
                rows = place / "rows"
                rows.mkdir()
                for number in range(500):
                    (rows / f"{number}.csv").write_text(f"{number}\n" * 20)
                # Several parts of an upload, and several pieces of a download.
                (rows / "large").write_bytes(random.Random(1).randbytes(40 << 20))
                check = Check(name, arguments.aseptic, place, variables | extra)
                check.run("a", "dataset", "add", "rows", "--name", "digits", "--label", "pii")
                check.run("a", "dataset", "add", "rows/1.csv", "--name", "other")
                check.all(url, wrong, damage)
                failed += check.failed
            finally:
                server.kill()
                server.wait()
    sys.exit(1 if failed else 0)


main()
