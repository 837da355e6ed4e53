#!/usr/bin/env python3
"""What a sealed run costs before the program in it does anything.

Measures fork+exec of true(1), bubblewrap, our jail alone and a whole `aseptic run`, one after the other in
each round, so that all of them meet the same state of the machine. In the same rounds it measures the
fdatasync that a durable ledger cannot do without. Prints a table and writes it to bench/results/.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
RESULT = ROOT / "bench/results/start-up.md"
SAMPLES_MIN = 50  # Below that, the 95th percentile is one or two values.
WARM_UP_ROUNDS = 3
SYNC_CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "msync")
BUDGET_MS = 15  # What a sealed run may cost beyond bubblewrap and its own fdatasyncs.
BUBBLEWRAP = (
    "bwrap --unshare-all --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64"
    " --symlink usr/bin /bin --proc /proc --dev /dev true"
).split()


def spawn(command: list[str], environment: dict[str, str], directory: Path) -> Callable[[], float]:
    """Milliseconds from just before the fork to the death of the process and everything it waits for."""
    program = shutil.which(command[0]) or sys.exit(f"bench: {command[0]} is not here; see scripts/setup.sh")

    def sample() -> float:
        os.chdir(directory)
        start = time.monotonic_ns()
        child = os.posix_spawn(program, command, environment, file_actions=QUIET)
        _, status, _ = os.wait4(child, 0)
        milliseconds = (time.monotonic_ns() - start) / 1e6
        if status != 0:
            sys.exit(
                f"bench: {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}; run it by hand"
            )
        return milliseconds

    return sample


def fdatasync(directory: Path) -> Callable[[], float]:
    """Milliseconds of making an append of 4 KiB durable, on the disk that holds the ledger."""
    file = os.open(directory / "append", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def sample() -> float:
        start = time.monotonic_ns()
        os.write(file, b"\0" * 4096)
        os.fdatasync(file)
        return (time.monotonic_ns() - start) / 1e6

    return sample


def count_syncs(command: list[str], environment: dict[str, str], directory: Path) -> dict[str, int] | None:
    """How often one run makes the disk confirm, by system call; nothing where strace(1) cannot trace."""
    table = directory.parent / "strace.txt"
    strace = ["strace", "-f", "-c", "-e", "trace=" + ",".join(SYNC_CALLS), "-o", str(table)]
    if not shutil.which("strace"):
        return None
    done = subprocess.run(
        [*strace, *command], cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode != 0:
        return None
    rows = [line.split() for line in table.read_text().splitlines()]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[-1] in SYNC_CALLS}


def percentile_95(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=20)[-1]


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def file_system(directory: Path) -> str:
    command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def report(samples: dict[str, list[float]], syncs: dict[str, int] | None, disk: str) -> str:
    median = {name: statistics.median(values) for name, values in samples.items()}
    rounds = len(samples["bubblewrap"])
    lines = [
        "# Start-up",
        "",
        f"`make bench` on Linux {platform.release()}, {cpu()}, {os.cpu_count()} cores, as user {os.geteuid()};",
        f"the state of aseptic is on {disk}.",
        f"{rounds} rounds, each of which runs every line once, in turn. Times in milliseconds.",
        "",
        "| What | Median | 95th percentile | × fork+exec | × bubblewrap |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in samples.items():
        ratios = [f"{median[name] / median[peer]:.2f}" for peer in ("fork+exec", "bubblewrap")]
        cells = [name, f"{median[name]:.2f}", f"{percentile_95(values):.2f}", *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    if syncs is None:
        lines.append(
            "The system calls of a run were not counted: strace(1) is missing or may not trace here."
        )
    else:
        number = sum(syncs.values())
        calls = ", ".join(f"{calls} {name}" for name, calls in sorted(syncs.items())) or "none"
        durable = number * median["one fdatasync"]
        budget = median["bubblewrap"] + durable + BUDGET_MS
        lines += [
            f"One `aseptic run -- true` waits for the disk {number} times ({calls}):",
            f"{durable:.2f} ms at the median of one fdatasync. Bubblewrap, plus these, plus {BUDGET_MS} ms is {budget:.2f} ms;"
            f" `aseptic run` takes {median['aseptic run']:.2f} ms.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--samples", type=int, default=100, help=f"rounds, at least {SAMPLES_MIN}", metavar="N"
    )
    parser.add_argument("--release", type=Path, default=RELEASE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds = max(SAMPLES_MIN, options.samples)

    # On a disk: where /tmp is memory, an fdatasync costs nothing and says nothing.
    with tempfile.TemporaryDirectory(prefix="aseptic-bench.", dir="/var/tmp") as scratch:
        empty = Path(scratch, "empty")
        empty.mkdir()
        plain = {"PATH": os.environ["PATH"], "HOME": scratch, "LANG": "C.UTF-8"}
        ours = {**plain, "ASEPTIC_HOME": str(Path(scratch, "aseptic"))}
        run = [str(options.release / "aseptic"), "run", "--", "true"]
        contenders = {
            "fork+exec": spawn(["true"], plain, empty),
            "bubblewrap": spawn(BUBBLEWRAP, plain, empty),
            "our jail alone": spawn([str(options.release / "examples/jail"), "--", "true"], plain, empty),
            "aseptic run": spawn(run, ours, empty),
            "one fdatasync": fdatasync(Path(scratch)),
        }
        for _ in range(WARM_UP_ROUNDS):
            for sample in contenders.values():
                sample()
        samples: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, sample in contenders.items():
                samples[name].append(sample())
        syncs = count_syncs(run, ours, empty)
        text = report(samples, syncs, file_system(empty))
        os.chdir(ROOT)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    print(text, end="")


QUIET = [
    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
]

if __name__ == "__main__":
    main()
