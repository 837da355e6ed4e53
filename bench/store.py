#!/usr/bin/env python3
"""What a dataset costs: import, unchanged import, a second version, verification, view, beside other tools.

In each round every tool has one turn with an empty repository, one after the other, so that all meet the same
state of the machine; the order moves on from round to round. Files are in the page cache (warm): they were just
written, and are read again and again. Every time is until the data is durable: tools that do not make it so
themselves are followed by sync(1) of the file system, in the same time. Prints tables and writes them to
bench/results/.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from start_up import cpu, file_system
from store_tools import PEERS, Aseptic, Copy, Failed, Hash, List, Tool

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "bench/results/store.md"
SCRATCH = ROOT / "bench/scratch"
ROUNDS_MIN = 3
SLOW_S = 120  # A tool with a longer turn than this gets SLOW_ROUNDS turns.
SLOW_ROUNDS = 2
FREE_BYTES_MIN = 16 << 30  # With less than this free, what was thrown away is deleted.
PLACES = 20  # Where the large file is changed.
LIMITS_TITLE = "## What limits each"
WORKLOADS = {
    "W1": "100,000 files of 4 KiB, random bytes, 1,000 in a directory",
    "W2": "one random file of 2 GiB; W3 is it with 10% changed in 20 places, every other one an insertion;"
    " W3s is it with 20 edits of 100 bytes, every other one an insertion",
    "W4": "2,000 files of 1 MiB, random bytes",
}


def write_random(path: Path, size: int, source: random.Random) -> None:
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(source.randbytes(min(1 << 20, size - start)))


def make_files(place: Path, count: int, size: int, source: random.Random) -> None:
    for number in range(count):
        if number % 1000 == 0:
            directory = place / f"{number // 1000:03}"
            directory.mkdir(parents=True)
        (directory / f"{number}").write_bytes(source.randbytes(size))


def make_changed(old: Path, new: Path, changed: int, source: random.Random) -> None:
    """A copy with `changed` fresh bytes in PLACES places; in every other one they push on what follows."""
    new.parent.mkdir(parents=True)
    size = old.stat().st_size
    piece = changed // PLACES
    with old.open("rb") as read, new.open("wb") as write:
        for place in range(PLACES):
            until = size * (2 * place + 1) // (2 * PLACES)
            copy_bytes(read, write, until - read.tell())
            for start in range(0, piece, 1 << 20):
                write.write(source.randbytes(min(1 << 20, piece - start)))
            if place % 2 == 0:
                read.seek(piece, os.SEEK_CUR)
        copy_bytes(read, write, size - read.tell())


def copy_bytes(read, write, count: int) -> None:
    while count > 0:
        count -= write.write(read.read(min(1 << 20, count)))


def make_workload(name: str, place: Path, scale: float) -> dict[str, Path]:
    """The directories of its versions, the first one first."""
    source = random.Random(name)
    if name == "W1":
        make_files(place / "W1/data", max(1, round(100_000 * scale)), 4096, source)
        return {"W1": place / "W1/data"}
    if name == "W4":
        make_files(place / "W4/data", max(1, round(2_000 * scale)), 1 << 20, source)
        return {"W4": place / "W4/data"}
    size = round(scale * (2 << 30))
    versions = {version: place / version / "data" for version in ("W2", "W3", "W3s")}
    versions["W2"].mkdir(parents=True)
    write_random(versions["W2"] / "large", size, source)
    make_changed(versions["W2"] / "large", versions["W3"] / "large", size // 10, source)
    make_changed(versions["W2"] / "large", versions["W3s"] / "large", PLACES * 100, source)
    return versions


class Turn:
    """What one tool did in one round: seconds, mebibytes, bytes by name."""

    def __init__(self, tool: Tool, scratch: Path) -> None:
        self.tool, self.scratch = tool, scratch
        self.seconds: dict[str, float] = {}
        self.peak = self.cpu = 0.0
        self.sizes: dict[str, int] = {}

    def time(self, what: str, command: list[str]) -> None:
        os.sync()  # Nobody pays for what another one wrote.
        error = self.scratch / "stderr"
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.scratch / "stdout"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(error), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ]
        program = shutil.which(command[0], path=self.tool.environment["PATH"])
        if program is None:
            raise Failed(f"{command[0]} is not installed")
        os.chdir(self.tool.directory)
        begun = time.monotonic()
        child = os.posix_spawn(program, command, self.tool.environment, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        if self.tool.writes and not self.tool.syncs:
            subprocess.run(["sync", "-f", self.scratch], check=True)
        self.seconds[what] = time.monotonic() - begun
        if status != 0:
            said = error.read_text(errors="replace").strip().splitlines() or ["without a message"]
            raise Failed(f"{what}: ended with {os.waitstatus_to_exitcode(status)}: {said[-1][:200]}")
        self.peak = max(self.peak, usage.ru_maxrss / 1024)
        if what == "import":
            self.cpu = usage.ru_utime + usage.ru_stime

    def stored(self) -> int:
        words = ["du", "-s", "--block-size=1", *map(str, self.tool.keeps())]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return sum(int(line.split()[0]) for line in said.splitlines())

    def take(self, versions: dict[str, Path]) -> None:
        """All steps that the tool has, on a repository of its own."""
        tool, (name, *later) = self.tool, versions
        tool.begin(versions[name])
        try:
            self.time("import", tool.add(versions[name]))
            if tool.keeps():
                self.sizes[name] = self.stored()
            if tool.has_versions:
                self.time("unchanged", tool.add(versions[name]))
            for what, command in tool.steps():
                self.time(what, command)
            self.seconds |= tool.more()
            for version in later if tool.has_versions else []:
                tool.place(versions[version])
                before = self.stored()
                self.time(version, tool.add(versions[version]))
                self.sizes[version] = self.stored() - before
        finally:
            os.chdir(ROOT)
            tool.end()
            if shutil.disk_usage(self.scratch).free < FREE_BYTES_MIN:
                empty(tool.trash)


def empty(directory: Path) -> None:
    subprocess.run(["rm", "-rf", directory], check=True)


def measure(workload: str, tools: list[Tool], scratch: Path, rounds: int, scale: float) -> tuple[dict, dict]:
    """Turns by tool and round, and why some tools have none."""
    versions = make_workload(workload, scratch, scale)
    time.sleep(3)  # What was written in the last two seconds is not called unchanged.
    turns: dict[str, dict[int, Turn]] = {tool.name: {} for tool in tools}
    reasons: dict[str, str] = {}
    for number in range(rounds):
        for tool in tools[number % len(tools) :] + tools[: number % len(tools)]:
            slow = any(sum(turn.seconds.values()) > SLOW_S for turn in turns[tool.name].values())
            if tool.name in reasons or (slow and len(turns[tool.name]) >= SLOW_ROUNDS):
                continue
            turn = Turn(tool, scratch)
            begun = time.monotonic()
            try:
                turn.take(versions)
            except Failed as failed:
                if not tool.is_peer:
                    sys.exit(f"bench: {tool.name}: {failed}")
                reasons[tool.name] = str(failed)
                continue
            turns[tool.name][number] = turn
            print(f"bench: {workload}, round {number + 1}: {tool.name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
    empty(tools[0].trash)
    for version in versions.values():
        empty(version.parent)
    return turns, reasons


def middle(turns: dict[int, Turn], what: str) -> float | None:
    values = [turn.seconds[what] for turn in turns.values() if what in turn.seconds]
    return statistics.median(values) if values else None


def table(workload: str, turns: dict[str, dict[int, Turn]], reasons: dict[str, str]) -> list[str]:
    columns = {"import": "import", "unchanged": "unchanged", "W3": "W3", "W3s": "W3s", "verify": "verify", "view": "view"}
    if workload != "W2":
        del columns["W3"], columns["W3s"]
    growth = ["W3", "W3s"] if workload == "W2" else []
    heads = [*columns.values(), "CPU of import", *(f"growth by {name}" for name in growth), "stored, MB", "peak, MiB"]
    lines = ["", f"## {workload}: {WORKLOADS[workload]}", "", f"| Tool | Rounds | {' | '.join(heads)} |"]
    lines.append("|---|" + "---:|" * (len(heads) + 1))
    for name, of in turns.items():
        if not of:
            continue
        values = [middle(of, what) for what in columns]
        cells = [name, str(len(of)), *("-" if value is None else f"{value:.2f}" for value in values)]
        cells.append(f"{statistics.median(turn.cpu for turn in of.values()):.2f}")
        last = list(of.values())[-1]
        for version in growth:
            size = last.sizes.get(version)
            cells.append("-" if size is None else f"{100 * size / last.sizes['W2']:.1f}%")
        cells.append(f"{last.sizes[workload] / 1e6:.0f}" if workload in last.sizes else "-")
        cells.append(f"{max(turn.peak for turn in of.values()):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    lines += [f"- {name} could not be measured here: {reason}" for name, reason in reasons.items()]
    return lines


def ratio(turns: dict[str, dict[int, Turn]], ours: str, *others: tuple[str, str]) -> float | None:
    """Median of our seconds by those of the slowest of `others` in the same round."""
    ratios = []
    for number, turn in turns["aseptic"].items():
        found = [turns[name].get(number) for name, _ in others if name in turns]
        if None not in found and found:
            ratios.append(turn.seconds[ours] / max(one.seconds[what] for one, (_, what) in zip(found, others, strict=True)))
    return statistics.median(ratios) if ratios else None


def verdicts(measured: dict[str, dict[str, dict[int, Turn]]]) -> list[str]:
    copy, hash_ = ("cp -r + sync", "import"), ("b3sum", "import")
    lines = ["", "## Targets", "", "| Promise | Measured | Target | |", "|---|---:|---:|---|"]

    def row(what: str, value: float | None, form: str, reached: bool, target: str) -> None:
        if value is not None:
            lines.append(f"| {what} | {form.format(value)} | {target} | {'reached' if reached else 'NOT reached'} |")

    def at_most(what: str, value: float | None, bound: float, unit: str = " ×") -> None:
        row(what, value, "{:.2f}" + unit, value is not None and value <= bound, f"≤ {bound:g}{unit}")

    def at_least(what: str, inverse: float | None, bound: float) -> None:
        value = 1 / inverse if inverse else None
        row(what, value, "{:.2f} ×", value is not None and value >= bound, f"≥ {bound:g} ×")

    if turns := measured.get("W1"):
        at_most("W1: import, of copy and sync", ratio(turns, "import", copy), 0.35)
        at_least("W1: import, speed of DVC's", ratio(turns, "import", ("DVC", "import")), 12)
        at_most("W1: unchanged import, of `find -printf`", ratio(turns, "unchanged", ("find -printf", "import")), 1.5)
        at_most("W1: first view, of copy and sync", ratio(turns, "view", copy), 0.4)
    for workload in ("W2", "W4"):
        if turns := measured.get(workload):
            at_most(f"{workload}: import, of the slower of copy and sync, and BLAKE3", ratio(turns, "import", copy, hash_), 1.1)
    for workload, turns in measured.items():
        at_least(f"{workload}: verify, speed of `b3sum`", ratio(turns, "verify", hash_), 0.8)
    for workload, turns in measured.items():
        later = middle(turns["aseptic"], "mount")
        at_most(f"{workload}: later mount, what it adds to a run", later and 1000 * later, 5, " ms")
    if turns := measured.get("W2"):
        last = list(turns["aseptic"].values())[-1]
        at_most("W3s: growth by 20 small edits", 100 * last.sizes["W3s"] / last.sizes["W2"], 3, "%")
    peak = max(turn.peak for turns in measured.values() for turn in turns["aseptic"].values())
    at_most("peak memory of any command", peak, 150, " MiB")
    return lines


def notes() -> list[str]:
    """What people wrote about the last results; it stays until they change it."""
    written = RESULT.read_text() if RESULT.exists() else ""
    _, _, kept = written.partition(LIMITS_TITLE)
    return ["", LIMITS_TITLE + (kept.rstrip() or "\n\nNot written yet.")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help=f"at least {ROUNDS_MIN}")
    parser.add_argument("--scale", type=float, default=1.0, help="shrink the workloads by this factor; nothing is written then")
    parser.add_argument("--only", action="append", choices=WORKLOADS, help="this workload; repeatable")
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="leave it out; repeatable")
    parser.add_argument("--peers", type=Path, default=SCRATCH / "store-peers", help=argparse.SUPPRESS)
    parser.add_argument("--release", type=Path, default=ROOT / "target/release", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds = max(ROUNDS_MIN, options.rounds)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    measured, lines = {}, []
    # On the disk of the project: where /tmp is memory, durable means nothing.
    with tempfile.TemporaryDirectory(prefix="store.", dir=SCRATCH) as place:
        scratch = Path(place)
        for workload in options.only or WORKLOADS:
            repositories = scratch / "repositories"
            known = [Copy, Hash, List, *PEERS.values(), Aseptic]
            without = {PEERS[name] for name in options.without}
            tools = [one(repositories, options.peers, options.release.absolute()) for one in known if one not in without]
            turns, reasons = measure(workload, tools, scratch, rounds, options.scale)
            measured[workload] = turns
            lines += table(workload, turns, reasons)
        disk = file_system(scratch)
        os.chdir(ROOT)
    unsynced = ", ".join(name for name, tool in PEERS.items() if not tool.syncs)
    head = [
        "# The store",
        "",
        f"`bench/store.py` on Linux {platform.release()}, {cpu()}, {os.cpu_count()} cores, {disk}, as user {os.geteuid()}.",
        "Medians in seconds; ratios are medians of the ratios of rounds. Warm page cache. Every time is until the data",
        f"is durable: `cp`, {unsynced} do not see to that and are followed by `sync -f`, which is in their times. The",
        "line of a floor is under `import`, whatever it does. Peaks are not below that of the script that starts the",
        "commands (about 20 MiB). Oxen is driven through its Python package: a third of a second is Python's start. restic",
        "derives its key anew in each command, on purpose slowly: 0.7 s. Nothing is deleted while a workload is measured,",
        "since ext4 makes new files slowly for minutes after that.",
        "DVC has no command that reads its cache again; Oxen has none either. `view` makes the files of the first",
        "version again: `dvc checkout`, `oxen restore`, `restic restore`, `git checkout-index`, and our first view.",
    ]
    if options.scale != 1:
        head.append(f"THE WORKLOADS ARE SHRUNK to {options.scale:g} of their size.")
    text = "\n".join([*head, *verdicts(measured), *lines, *notes()]) + "\n"
    if options.scale == 1 and not options.only and not options.without:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
