"""A user in a testbed, who runs commands outside of aseptic and in sealed runs."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/bin:/usr/bin:/bin"
SECONDS = 120  # No command here takes longer.


class Wrong(Exception):
    """A client or a case did not do what it should."""


def need(condition: object, what: str, run: object) -> None:
    if not condition:
        raise Wrong(f"{what}: {run}")


@dataclass
class Run:
    """What became of a command; `record` is empty outside of aseptic, and where no run was."""

    code: int
    said: str
    record: dict

    def denied(self) -> set[tuple[str, str, str]]:
        """Action, target and reason of what was denied."""
        return {(one["action"], one["target"], one.get("reason", "")) for one in self.record.get("denied", [])}

    def traffic(self) -> dict[str, dict[str, int]]:
        """By grant, what went through it."""
        return {use["grant"]: use["traffic"] for use in (self.record.get("egress") or {}).get("grants", [])}

    def __str__(self) -> str:
        egress = json.dumps({key: self.record.get(key) for key in ("status", "reason", "denied", "egress")})
        return f"exit {self.code}\n    {egress}\n    " + self.said[-1500:].replace("\n", "\n    ")


class World:
    def __init__(self, aseptic: Path, environment: Path | None, directory: Path) -> None:
        """`environment` is a Python environment with the packages of the tests, `directory` that of the testbed."""
        self.aseptic, self.python, self.directory = str(aseptic), environment, directory
        self.variables = {
            "PATH": PATH,
            "HOME": str(directory / "home"),
            "LANG": "C.UTF-8",
            "ASEPTIC_HOME": str(directory / "state"),
        }
        (directory / "home").mkdir()
        self.places = self.read = 0  # Directories, and lines of the journal.

    def place(self, files: dict[str, str] | None = None) -> Path:
        """A new directory with these files and the certificate of the authority."""
        self.places += 1
        place = self.directory / f"places/{self.places}"
        place.mkdir(parents=True)
        shutil.copy(self.directory / "ca.pem", place)
        for name, text in (files or {}).items():
            (place / name).write_text(text)
        return place

    def outside(self, command: str, files: dict[str, str]) -> Run:
        variables = dict(self.variables)
        if self.python:
            variables["PATH"] = f"{self.python}/bin:{PATH}"
        return self.finish(["sh", "-c", command], self.place(files), variables)

    def options(self, grants: list[str]) -> list[str]:
        python = ["--python", str(self.python)] if self.python else []
        return [*python, *(word for grant in grants for word in ("--network", grant))]

    def run(self, grants: list[str], command: str, files: dict[str, str] | None = None, **more: object) -> Run:
        """What it says is what its job says. `more` are `options` of `aseptic run`, `variables` for it, and a `place` that is there already."""
        place = more.get("place") or self.place(files)
        arguments = ["run", "--json", "--quiet", *self.options(grants), *more.get("options", []), "--", "sh", "-c", command]
        return self.finish([self.aseptic, *arguments], place, {**self.variables, **more.get("variables", {})})

    def start(self, grants: list[str], command: str, files: dict[str, str] | None = None) -> subprocess.Popen:
        """The same, to be met while it goes on and ended by `finish`."""
        arguments = ["run", "--json", "--quiet", *self.options(grants), "--", "sh", "-c", command]
        return self.spawn([self.aseptic, *arguments], self.place(files), self.variables)

    def call(self, *arguments: str, place: Path | None = None) -> Run:
        """Another command of aseptic; what it prints is in `said`."""
        return self.finish([self.aseptic, *arguments], place or self.directory, self.variables)

    def spawn(self, command: list[str], place: Path, variables: dict[str, str]) -> subprocess.Popen:
        return subprocess.Popen(
            command, cwd=place, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def finish(self, command: list[str] | subprocess.Popen, place: Path | None = None, variables: dict | None = None) -> Run:
        child = command if isinstance(command, subprocess.Popen) else self.spawn(command, place, variables)
        try:
            out, err = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            err += f"\nit did not end within {SECONDS} s".encode()
        try:
            record = json.loads(out)
        except ValueError:
            return Run(child.returncode, (out + err).decode(errors="replace"), {})
        return Run(child.returncode, err.decode(errors="replace"), record if isinstance(record, dict) else {})

    def journal(self) -> list[str]:
        """What reached the servers since the last time."""
        lines = (self.directory / "journal").read_text(errors="replace").splitlines()
        new, self.read = lines[self.read :], len(lines)
        return new
