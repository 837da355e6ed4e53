"""The tools that bench/store.py measures: which commands do what, and where they keep it."""

import itertools
import json
import statistics
import subprocess
import time
from pathlib import Path

DRIVE_OXEN = """
import sys
from oxen import Repo
from oxen.user import config_user
repository = Repo(".")
if sys.argv[1] == "init":
    config_user("bench", "bench@example.org")
    repository.init()
elif sys.argv[1] == "add":
    repository.add("data")
    try:
        repository.commit("data")
    except ValueError as error:
        if "No changes to commit" not in str(error):
            raise
else:
    repository.restore("data")
"""
MOUNTS = 15  # Pairs of runs, with a dataset and without.
COUNT = itertools.count()


class Failed(Exception):
    """A tool that cannot be measured, and why."""


class Tool:
    """One tool and its repository."""

    name = ""
    syncs = True  # Whether what it acknowledges is durable.
    writes = True
    has_versions = True
    is_peer = True

    def __init__(self, place: Path, peers: Path, release: Path) -> None:
        self.directory = place / self.name.replace(" ", "-")
        self.trash = place / "trash"
        self.peers, self.release = peers, release
        self.environment = {
            "PATH": f"{peers}/bin:{peers}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
        }

    def begin(self, data: Path) -> None:
        """Makes an empty repository."""
        self.directory.mkdir(parents=True)

    def place(self, data: Path) -> None:
        """Lets the tool find another version where it looks for one."""

    def add(self, data: Path) -> list[str]:
        raise NotImplementedError

    def keeps(self) -> list[Path]:
        """Where it stores what was added."""
        return []

    def steps(self) -> list[tuple[str, list[str]]]:
        """What else it is measured at, in this order."""
        return []

    def more(self) -> dict[str, float]:
        """What it measures itself."""
        return {}

    def throw_away(self, path: Path) -> None:
        """Lets something go without deleting its files: for minutes after many were deleted, ext4 looks for a free
        inode so long that a new file takes five times its time, and the next tool would pay for it."""
        self.trash.mkdir(parents=True, exist_ok=True)
        path.rename(self.trash / str(next(COUNT)))

    def end(self) -> None:
        if self.directory.exists():
            self.throw_away(self.directory)

    def call(self, *words: object) -> str:
        """An untimed command."""
        try:
            done = subprocess.run(
                [str(word) for word in words], check=False, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        except FileNotFoundError:
            raise Failed(f"{words[0]} is not installed") from None
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["without a message"]
            raise Failed(f"{words[0]} {words[1]}: ended with {done.returncode}: {said[-1][:200]}")
        return done.stdout


class Copy(Tool):
    name, syncs, has_versions, is_peer = "cp -r + sync", False, False, False

    def add(self, data: Path) -> list[str]:
        return ["cp", "-r", str(data), "copy"]


class Hash(Tool):
    name, writes, has_versions, is_peer = "b3sum", False, False, False

    def add(self, data: Path) -> list[str]:
        return ["sh", "-c", 'find "$0" -type f -print0 | xargs -0 b3sum', str(data)]


class List(Tool):
    name, writes, has_versions, is_peer = "find -printf", False, False, False

    def add(self, data: Path) -> list[str]:
        return ["find", str(data), "-printf", "%s %T@ %C@ %i %p\\n"]


class Aseptic(Tool):
    name, is_peer = "aseptic", False

    def __init__(self, place: Path, peers: Path, release: Path) -> None:
        super().__init__(place, peers, release)
        self.aseptic = str(release / "aseptic")
        self.environment["ASEPTIC_HOME"] = str(self.directory / "state")

    def add(self, data: Path) -> list[str]:
        return [self.aseptic, "dataset", "add", str(data), "--name", "bench"]

    def keeps(self) -> list[Path]:
        return [self.directory / "state"]

    def steps(self) -> list[tuple[str, list[str]]]:
        shown = json.loads(self.call(self.aseptic, "--json", "dataset", "show", "bench"))
        snapshot = shown["versions"][-1]["snapshot"]
        (store,) = self.directory.glob("state/projects/*/store")
        view = [str(self.release / "examples/store"), str(store), "view", snapshot]
        return [("verify", [self.aseptic, "dataset", "verify", "bench"]), ("view", view)]

    def more(self) -> dict[str, float]:
        """What a dataset whose view is there adds to a run."""
        run = [self.aseptic, "run", "--quiet", "--no-code"]
        added = []
        for _ in range(MOUNTS):
            begun = time.monotonic()
            self.call(*run, "--", "true")
            middle = time.monotonic()
            self.call(*run, "--data", "bench=bench@1", "--", "true")
            added.append((time.monotonic() - middle) - (middle - begun))
        return {"mount": statistics.median(added)}


class Working(Tool):
    """A tool that takes its files from a working directory of its own, which is copied, untimed."""

    syncs = False
    hidden: tuple[str, ...] = ()

    def begin(self, data: Path) -> None:
        super().begin(data)
        self.place(data)

    def place(self, data: Path) -> None:
        if (self.directory / "data").exists():
            self.take_away()
        subprocess.run(["cp", "-r", data, self.directory / "data"], check=True)

    def take_away(self) -> None:
        self.throw_away(self.directory / "data")

    def keeps(self) -> list[Path]:
        return [self.directory / self.hidden[0]]


class Dvc(Working):
    name, hidden = "DVC", (".dvc",)

    def begin(self, data: Path) -> None:
        super().begin(data)
        self.environment |= {"DVC_SITE_CACHE_DIR": str(self.directory / "site"), "DVC_NO_ANALYTICS": "1"}
        self.call("dvc", "init", "-q", "--no-scm")

    def add(self, data: Path) -> list[str]:
        return ["dvc", "add", "-q", "data"]

    def steps(self) -> list[tuple[str, list[str]]]:
        self.take_away()
        return [("view", ["dvc", "checkout", "-q"])]


class Oxen(Working):
    name, hidden = "Oxen", (".oxen",)

    def begin(self, data: Path) -> None:
        super().begin(data)
        self.call(*self.drive("init"))

    def drive(self, step: str) -> list[str]:
        return [f"{self.peers}/venv/bin/python", "-c", DRIVE_OXEN, step]

    def add(self, data: Path) -> list[str]:
        return self.drive("add")

    def steps(self) -> list[tuple[str, list[str]]]:
        self.take_away()
        return [("view", self.drive("restore"))]


class Restic(Tool):
    name = "restic"

    def begin(self, data: Path) -> None:
        super().begin(data)
        self.environment |= {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": "repository", "RESTIC_CACHE_DIR": "cache"}
        self.call("restic", "init")

    def add(self, data: Path) -> list[str]:
        return ["restic", "backup", "-q", str(data)]

    def keeps(self) -> list[Path]:
        return [self.directory / "repository"]

    def steps(self) -> list[tuple[str, list[str]]]:
        verify = ["restic", "check", "-q", "--read-data"]
        return [("verify", verify), ("view", ["restic", "restore", "-q", "latest", "--target", "restored"])]


class Git(Tool):
    name, syncs = "git add", False

    def begin(self, data: Path) -> None:
        super().begin(data)
        self.call("git", "init", "-q", "repository")

    def add(self, data: Path) -> list[str]:
        return ["git", "--git-dir=repository/.git", f"--work-tree={data}", "add", "-A"]

    def keeps(self) -> list[Path]:
        return [self.directory / "repository/.git"]

    def steps(self) -> list[tuple[str, list[str]]]:
        git = ["git", "--git-dir=repository/.git"]
        view = [*git, "--work-tree=.", "checkout-index", "-a", "--prefix=out/"]
        return [("verify", [*git, "fsck", "--no-progress", "--no-dangling"]), ("view", view)]


PEERS = {tool.name: tool for tool in (Dvc, Oxen, Restic, Git)}
