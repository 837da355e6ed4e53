"""One web server for every name of a testbed, over HTTP and HTTPS: each name answers with what is its own.

Every request is a line of the journal, so that a test can say that nothing reached a server.
"""

import http.server
import os
import socket
import ssl
import subprocess
import threading
import urllib.parse
from http import HTTPStatus
from pathlib import Path

BLOCK = bytes(range(256)) * 256


class Journal:
    """Lines of `WHAT DETAIL…`, in the order in which they came."""

    def __init__(self, file: Path) -> None:
        self.file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, *words: object) -> None:
        os.write(self.file, (" ".join(map(str, words)) + "\n").encode(errors="backslashreplace"))


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, port: int, directory: Path, journal: Journal, context: ssl.SSLContext | None) -> None:
        self.directory, self.journal, self.context = directory, journal, context
        super().__init__(("::", port), Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "testbed", self.server_address[1]

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: socket.socket, client_address: object) -> None:
        """Clients that go away are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """The journal has it."""

    def do_GET(self) -> None:
        scheme = "https" if self.server.context else "http"
        name = urllib.parse.urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        path = urllib.parse.urlsplit(self.path).path
        self.server.journal.write(self.command, f"{scheme}://{name}{path}")
        first, _, rest = path.removeprefix("/").partition("/")
        match first:
            case "":
                self.answer(f"{name} over {scheme}\n".encode())
            case "bytes":
                self.send_bytes(int(rest))
            case "endless":
                self.send_bytes(1 << 60)
            case "moved":
                self.answer(b"", HTTPStatus.FOUND, {"Location": f"{scheme}://{rest}/"})
            case _ if first.endswith(".git"):
                self.serve_git()
            case _:
                self.serve_file(self.server.directory / "www" / name / path.strip("/"))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if ".git/" in self.path:
            self.do_GET()
            return
        self.server.journal.write("POST", self.path)
        self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, body: bytes, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_bytes(self, count: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(count))
        self.end_headers()
        while count > 0:
            count -= self.wfile.write(BLOCK[:count])

    def serve_file(self, file: Path) -> None:
        """A file, or the range of it that is asked for, as an object store answers; of a directory its index."""
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or ".." in file.parts:
            self.answer(b"", HTTPStatus.NOT_FOUND)
            return
        body, headers = file.read_bytes(), {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        headers["Content-Type"] = "text/html" if file.suffix == ".html" else "application/octet-stream"
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            part = body[int(first) : int(last) + 1 if last else None]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
            self.answer(part, HTTPStatus.PARTIAL_CONTENT, headers)
        elif self.command == "HEAD":
            self.send_response(HTTPStatus.OK)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
        else:
            self.answer(body, HTTPStatus.OK, headers)

    def serve_git(self) -> None:
        """By git-http-backend(1), which speaks CGI."""
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.directory / "git"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.answer(answer, int(headers.pop("Status", "200").split()[0]), headers)


def start(directory: Path, journal: Journal, context: ssl.SSLContext) -> None:
    for port, security in ((80, None), (443, context)):
        server = Server(port, directory, journal, security)
        threading.Thread(target=server.serve_forever, daemon=True).start()
