#!/usr/bin/env python3
"""What a program loses by running sealed: the same script inside `aseptic run` and outside, side by side.

The script measures itself, so neither the start of a run nor its sealing counts. Inside and outside take
turns: each pair of runs meets the same state of the machine, and the order within a pair alternates. Prints
a table and writes it to bench/results/.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "bench/results/inside.md"
SCRATCH = ROOT / "bench/scratch"
PAIRS_MIN = 15
READ_BYTES = 1 << 30
FILES, FOLDERS = 10_000, 100
TARGETS = {
    "CPU-bound Python": 1.02,
    "import-heavy Python start": 1.02,
    "sequential read of 1 GiB": 1.02,
    "opening 10,000 files": 3.0,
    "NumPy, all cores": 1.02,
    "import-heavy Python start, --explain": 1.02,
}
MODULES = "asyncio,concurrent.futures,email.message,http.client,json,logging.config,multiprocessing,sqlite3,ssl,unittest,urllib.request,xml.etree.ElementTree,zipfile"


def cpu_bound() -> float:
    start, total = time.perf_counter(), 0
    for number in range(3_000_000):
        total += number * number % 7
    return time.perf_counter() - start


def start_up() -> float:
    """Four fresh interpreters, one after the other; the faster half counts."""
    try:
        import numpy  # noqa: F401

        modules = MODULES + ",numpy"
    except ImportError:
        modules = MODULES
    times = []
    for _ in range(4):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
        times.append(time.perf_counter() - start)
    return sum(sorted(times)[:2])


def sequential_read(data: Path) -> float:
    buffer = bytearray(1 << 20)
    start, read = time.perf_counter(), 0
    with open(data / "large/bytes", "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            read += count
    seconds = time.perf_counter() - start
    assert read == READ_BYTES, read
    return seconds


def open_files(data: Path) -> float:
    start, read = time.perf_counter(), 0
    for number in range(FILES):
        file = os.open(data / f"small/{number % FOLDERS}/{number}", os.O_RDONLY)
        read += len(os.read(file, 4096))
        os.close(file)
    seconds = time.perf_counter() - start
    assert read >= FILES, read
    return seconds


def numpy_step() -> float:
    import numpy

    random = numpy.random.default_rng(7)
    inputs, weights = random.random((1500, 1500)), random.random((1500, 1500))
    start = time.perf_counter()
    for _ in range(3):
        weights -= 1e-9 * (inputs.T @ numpy.tanh(inputs @ weights))
    return time.perf_counter() - start


def measure(what: str, data: Path) -> float:
    """The job: seconds of one thing. Once before, so that caches are warm on both sides."""
    jobs = {
        "CPU-bound Python": cpu_bound,
        "import-heavy Python start": start_up,
        "import-heavy Python start, --explain": start_up,
        "sequential read of 1 GiB": lambda: sequential_read(data),
        "opening 10,000 files": lambda: open_files(data),
        "NumPy, all cores": numpy_step,
    }
    jobs[what]()
    return min(jobs[what]() for _ in range(3))


class Bench:
    def __init__(self, aseptic: Path, python: Path, scratch: Path) -> None:
        self.aseptic, self.python, self.scratch = str(aseptic), str(python), scratch
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(scratch),
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch),
            "PYTHONDONTWRITEBYTECODE": "1",  # As inside.
            "ASEPTIC_HOME": str(scratch / "aseptic"),
        }
        (scratch / "code").mkdir()
        (scratch / "code/inside.py").write_text(Path(__file__).read_text())

    def call(self, command: list[str]) -> str:
        """In a session of its own, as a job is: the scheduler shares out by session."""
        done = subprocess.run(
            command, cwd=self.scratch / "code", env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
        )
        if done.returncode != 0:
            sys.exit(f"bench: {' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def import_data(self) -> None:
        """The files outside are those of the import, so both sides read what is in the page cache."""
        data = self.scratch / "data"
        (data / "large").mkdir(parents=True)
        block = os.urandom(1 << 20)
        with (data / "large/bytes").open("wb") as file:
            for number in range(READ_BYTES >> 20):
                file.write(number.to_bytes(8, "little") + block[8:])
        for folder in range(FOLDERS):
            (data / f"small/{folder}").mkdir(parents=True)
        for number in range(FILES):
            (data / f"small/{number % FOLDERS}/{number}").write_text(f"file {number}\n")
        self.call([self.aseptic, "dataset", "add", str(data), "--name", "bench"])

    def outside(self, what: str) -> float:
        return float(self.call([self.python, "inside.py", "--measure", what, "--data", str(self.scratch / "data")]))

    def inside(self, what: str) -> float:
        options = ["--explain"] if what.endswith("--explain") else []
        data = ["--data", "bench=bench"] if what in ("sequential read of 1 GiB", "opening 10,000 files") else []
        job = ["python3", "inside.py", "--measure", what, "--data", "/data/bench"]
        run = [self.aseptic, "run", "--quiet", "--python", self.python, *data, *options, "--", *job]
        return float(self.call(run))


def report(samples: dict[str, list[tuple[float, float]]], notes: list[str]) -> str:
    lines = [
        "# Inside against outside",
        "",
        f"`make bench` on Linux {platform.release()}, {os.cpu_count()} cores, as user {os.geteuid()}. Medians, in milliseconds;",
        "the ratio is the median of the ratios of pairs.",
        "",
        "| What | Pairs | Outside | Inside | Ratio | Target | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for what, pairs in samples.items():
        outside, inside = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(inside / outside for outside, inside in pairs)
        verdict = "reached" if ratio <= TARGETS[what] else "NOT reached"
        cells = [what, str(len(pairs)), f"{outside:.2f}", f"{inside:.2f}", f"{ratio:.3f}", f"{TARGETS[what]:.2f}", verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=25, help=f"pairs of runs, at least {PAIRS_MIN}")
    parser.add_argument("--only", action="append", choices=TARGETS, help="measure this; repeatable")
    parser.add_argument("--aseptic", type=Path, default=ROOT / "target/release/aseptic", help=argparse.SUPPRESS)
    parser.add_argument("--python", type=Path, default=SCRATCH / "venv/bin/python", help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure, options.data))
        return

    notes, names = [], options.only or list(TARGETS)
    with tempfile.TemporaryDirectory(prefix="aseptic-bench.", dir="/var/tmp") as scratch:
        bench = Bench(options.aseptic.absolute(), options.python.absolute(), Path(scratch))
        if "--explain" not in bench.call([bench.aseptic, "run", "--help"]):
            names = [name for name in names if not name.endswith("--explain")]
        bench.import_data()
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for pair in range(max(PAIRS_MIN, options.pairs)):
            for what in names:
                if pair % 2:
                    inside = bench.inside(what)
                    samples[what].append((bench.outside(what), inside))
                else:
                    outside = bench.outside(what)
                    samples[what].append((outside, bench.inside(what)))
        text = report(samples, notes)
    if not options.only:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
