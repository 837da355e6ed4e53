#!/usr/bin/env python3
"""Many runs at once, then two minutes of killed supervisors; afterwards everything is counted.

Nothing may be left: no process, mount, namespace, cgroup, run directory or temporary file. No run that was
acknowledged may be harmed: it is recorded as succeeded, and its outputs are what the job wrote. The ledger
verifies.

No process can hide: this one is a subreaper (prctl(2)), so the kernel makes every orphan of a run its child.
"""

import argparse
import concurrent.futures
import ctypes
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time")
IN_FLIGHT = 8  # Runs at a time while supervisors are killed.
GONE_SECONDS = 60  # How long the kernel may take to end what a killed supervisor left.

QUICK = "echo $ASEPTIC_RUN_ID >/out/run; head -c 20000 /dev/urandom >/out/bytes; sha256sum </out/bytes >/out/sum"
WITH_INPUT = QUICK + "; cat /data/d/*/*.txt | sha256sum >/out/input"
STAYING = "(setsid sleep 1000 &); echo part >/out/part; trap '' TERM; sleep 1000 & wait; sleep 1000"


@dataclass
class Started:
    child: subprocess.Popen
    said: Path
    kill_at: float
    job: str


class Stress:
    def __init__(self, aseptic: Path, scratch: Path) -> None:
        self.aseptic, self.scratch, self.state = str(aseptic.resolve()), scratch, scratch / "state"
        for name in ("empty", "said", "tmp", "results", "d"):
            (scratch / name).mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch / "empty"),
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch / "tmp"),
            "ASEPTIC_HOME": str(self.state),
        }
        self.started = 0
        self.namespaces: set[tuple[str, int]] = set()
        self.problems: list[str] = []
        self.acknowledged: dict[str, str] = {}  # Run id, and the job.
        self.input_digest = ""

    def problem(self, text: str) -> None:
        print(f"stress: WRONG: {text}", flush=True)
        self.problems.append(text)

    def call(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.aseptic, *arguments],
            env=self.environment,
            cwd=self.scratch / "empty",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def must(self, *arguments: str) -> str:
        done = self.call(*arguments)
        if done.returncode != 0:
            self.problem(f"`aseptic {' '.join(arguments)}` ended with {done.returncode}: {done.stderr[-600:]}")
        return done.stdout

    def import_input(self) -> None:
        digest = hashlib.sha256()
        for folder in range(5):
            (self.scratch / f"d/{folder}").mkdir()
            for number in range(5):
                text = f"input {folder} {number}\n" * 100
                (self.scratch / f"d/{folder}/{number}.txt").write_text(text)
                digest.update(text.encode())
        self.input_digest = digest.hexdigest()
        self.must("dataset", "add", str(self.scratch / "d"), "--name", "d")

    def start(self, job: str, kill_after: float) -> Started:
        said = self.scratch / f"said/{self.started}"
        self.started += 1
        data = ["--data", "d=d"] if job == WITH_INPUT else []
        with said.open("wb") as out, said.with_suffix(".stderr").open("wb") as err:
            child = subprocess.Popen(
                [self.aseptic, "run", "--json", "--no-code", *data, "--", "sh", "-c", job],
                env=self.environment,
                cwd=self.scratch / "empty",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return Started(child, said, time.monotonic() + kill_after, job)

    def heard(self, run: Started) -> None:
        """A whole document that says `succeeded` is an acknowledgement, even if a kill came after it."""
        try:
            record = json.loads(run.said.read_bytes())
        except ValueError:
            if run.child.returncode >= 0:
                said = run.said.with_suffix(".stderr").read_text(errors="replace")
                self.problem(f"a run that nobody killed ended with {run.child.returncode}: {said[-600:]}")
            return
        if record["status"] == "succeeded":
            self.acknowledged[record["run"]] = run.job
        elif run.job is not STAYING:
            self.problem(f"run {record['run']} is {record['status']}")

    def together(self, runs: int) -> float:
        begin = time.monotonic()
        started = [self.start((QUICK, WITH_INPUT)[number % 2], float("inf")) for number in range(runs)]
        for run in started:
            self.look()
            run.child.wait()
            self.heard(run)
        if len(self.acknowledged) != runs:
            self.problem(f"{len(self.acknowledged)} of {runs} runs at once succeeded")
        return time.monotonic() - begin

    def kill_for(self, seconds: float, typical: float) -> int:
        killed, flying, end = 0, [], time.monotonic() + seconds
        while flying or time.monotonic() < end:
            while len(flying) < IN_FLIGHT and time.monotonic() < end:
                job = random.choice((QUICK, WITH_INPUT, STAYING))
                flying.append(self.start(job, random.uniform(0, 1.5 * typical)))
            for run in flying[:]:
                if run.child.poll() is None and time.monotonic() >= run.kill_at:
                    run.child.send_signal(signal.SIGKILL)
                    run.child.wait()
                    killed += 1
                if run.child.returncode is not None:
                    self.heard(run)
                    flying.remove(run)
            self.look()
            self.reap({run.child.pid for run in flying})
            time.sleep(0.002)
        return killed

    def look(self) -> None:
        """Remembers the namespaces of the jails that live now."""
        for process in descendants(os.getpid()):
            self.namespaces |= namespaces_of(process)
        self.namespaces -= namespaces_of(os.getpid())

    def reap(self, known: set[int]) -> int:
        """Buries orphans; how many children live that were not started here."""
        living = 0
        for child in children(os.getpid()) - known:
            try:
                living += os.waitpid(child, os.WNOHANG)[0] == 0
            except ChildProcessError:
                pass
        return living

    def count(self) -> dict[str, int]:
        """What is left, after one command that recovers."""
        deadline = time.monotonic() + GONE_SECONDS
        while (processes := self.reap(set())) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.must("runs", "--json", "--limit", "1")
        runs = self.state / "runs"
        left = {
            "processes": processes,
            "mounts": count_mounts(str(self.scratch)),
            "run directories": sum(1 for path in runs.glob("*/*")),
            "temporary files": sum(1 for path in (self.scratch / "tmp").iterdir()),
        }
        listed = json.loads(self.must("runs", "--json", "--limit", "1000000"))["runs"]
        names = {run["run"] for run in listed}
        left["cgroups"] = sum(
            any(name in folder for name in names) for _, folders, _ in os.walk("/sys/fs/cgroup") for folder in folders
        )
        while (kept := self.namespaces & all_namespaces()) and time.monotonic() < deadline:
            time.sleep(0.2)  # A number may be in use again by someone else's short-lived namespace.
        left["namespaces"] = len(kept)
        for what, number in left.items():
            if number:
                self.problem(f"{number} {what} left")
        self.check(listed)
        return left

    def check(self, listed: list[dict]) -> None:
        status = {run["run"]: run["status"] for run in listed}
        for run in self.acknowledged:
            if status.get(run) != "succeeded":
                self.problem(f"run {run} was acknowledged and is {status.get(run)}")
        for run, end in status.items():
            if end not in ("succeeded", "aborted"):
                self.problem(f"run {run} is {end}")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.check_outputs, self.acknowledged))
        self.must("dataset", "verify", "d")
        print(f"stress: {self.must('ledger', 'verify').strip()}")

    def check_outputs(self, run: str) -> None:
        to = self.scratch / "results" / run
        self.must("export", f"run:{run}/out", "--to", str(to))
        found = {path.name: path.read_bytes() for path in to.rglob("*") if path.is_file()}
        sums = {"sum": hashlib.sha256(found.get("bytes", b"")).hexdigest()}
        if self.acknowledged[run] == WITH_INPUT:
            sums["input"] = self.input_digest
        expected = {"run": f"{run}\n".encode(), **{name: f"{value}  -\n".encode() for name, value in sums.items()}}
        if {name: found.get(name) for name in expected} != expected or len(found) != len(expected) + 1:
            self.problem(f"the outputs of run {run} are not what its job wrote: {sorted(found)}")


def children(process: int) -> set[int]:
    found: set[int] = set()
    try:
        for task in os.listdir(f"/proc/{process}/task"):
            found |= set(map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split()))
    except OSError:
        pass  # It has just ended.
    return found


def descendants(process: int) -> set[int]:
    found: set[int] = set()
    new = {process}
    while new:
        new = set().union(*(children(one) for one in new)) - found
        found |= new
    return found


def namespaces_of(process: int) -> set[tuple[str, int]]:
    found = set()
    for kind in NAMESPACES:
        try:
            found.add((kind, os.stat(f"/proc/{process}/ns/{kind}").st_ino))
        except OSError:
            pass  # It has just ended, or hides from an ordinary user.
    return found


def all_namespaces() -> set[tuple[str, int]]:
    """Of every process, and those that a mount keeps without one."""
    found = set().union(*(namespaces_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")))
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        kind, _, number = line.split()[3].partition(":[")
        if number:
            found.add((kind, int(number.rstrip("]"))))
    return found


def count_mounts(place: str) -> int:
    lines = set()
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            lines |= {line for line in path.read_text().splitlines() if place in line}
        except OSError:
            pass
    return len(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aseptic", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=200, help="runs at once")
    parser.add_argument("--seconds", type=float, default=120, help="how long supervisors are killed")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the moments of death")
    options = parser.parse_args()
    random.seed(options.seed)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("stress: prctl(PR_SET_CHILD_SUBREAPER) failed, so orphans could not be counted")
    # On a disk: the state of aseptic needs a file system that overlays accept.
    with tempfile.TemporaryDirectory(prefix="aseptic-stress.", dir="/var/tmp") as scratch:
        stress = Stress(options.aseptic, Path(scratch))
        stress.import_input()
        begin = time.monotonic()
        stress.must("run", "--json", "--no-code", "--data", "d=d", "--", "sh", "-c", WITH_INPUT)
        typical = IN_FLIGHT / 2 * (time.monotonic() - begin)
        took = stress.together(options.runs)
        print(f"stress: {options.runs} runs at once, all in {took:.1f} s", flush=True)
        killed = stress.kill_for(options.seconds, typical)
        print(f"stress: {killed} supervisors killed in {options.seconds:.0f} s (--seed {options.seed})", flush=True)
        left = stress.count()
        print(
            f"stress: of {stress.started} runs {len(stress.acknowledged)} were acknowledged; left: "
            + ", ".join(f"{number} {what}" for what, number in left.items())
        )
    if stress.problems:
        sys.exit(f"stress: {len(stress.problems)} things are wrong")
    if not killed or not stress.namespaces:
        sys.exit("stress: no supervisor was killed, or no jail was seen: this shows nothing")


if __name__ == "__main__":
    main()
