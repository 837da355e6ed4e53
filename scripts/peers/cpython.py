#!/usr/bin/env python3
"""Runs CPython's own regression tests outside and inside `aseptic run`, and compares the verdicts.

Every test must end inside as it ends outside, whatever that is. What the jail changes on purpose stands in
cpython.toml with its reason. A difference that is not there fails, and so does one that is there and was not
found. A test that differs is run again on both sides, alone, so that a test that depends on the time of day
or on the load decides nothing.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = os.path.realpath("/usr/bin/python3")
TABLE = Path(__file__).with_suffix(".toml")
MODULES_MIN = 60  # What is promised; a module counts when at least one of its tests ran on both sides.
TEST_SECONDS = 600  # No module may take longer.
PASS_SECONDS = 900
RETRIES = 2
MODULE_LINE = re.compile(
    r"^[\d:]+ (?:load avg: \S+ )?\[ *\d+/\d+(?:/\d+)?\] (test_\w+)"
    r" (passed|failed|skipped|crashed|timed out|run no tests)",
    re.MULTILINE,
)


@dataclass
class Verdicts:
    """How modules ended, and how each test did; a name that several modules use has several outcomes."""

    modules: dict[str, str] = field(default_factory=dict)
    tests: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    details: dict[str, str] = field(default_factory=dict)


@dataclass
class Comparison:
    """Both sides, and the names of modules and tests that differ, every time they were run."""

    outside: Verdicts
    inside: Verdicts
    modules: list[str]
    tests: list[str]
    gone: dict[str, str] = field(default_factory=dict)


class Side:
    """Outside, or inside `aseptic run`."""

    def __init__(self, scratch: Path, aseptic: Path | None) -> None:
        self.aseptic = aseptic
        self.name = "inside" if aseptic else "outside"
        self.scratch = scratch / self.name[0]
        for directory in ("empty", "home", "tmp", "out"):
            (self.scratch / directory).mkdir(parents=True)

    def run(self, modules: list[str], jobs: int, match: list[str] | None, ignore: list[str]) -> Verdicts:
        # `env -i`: both sides get the same variables; those that aseptic sets for every job change what
        # Python's tests expect (PYTHONUNBUFFERED, PYTHONDONTWRITEBYTECODE).
        out, home, temporary = "/out", "/home/job", "/tmp"
        if not self.aseptic:
            out, home, temporary = (str(self.scratch / name) for name in ("out", "home", "tmp"))
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": temporary,
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
        }
        command = ["env", "-i", *(f"{key}={value}" for key, value in environment.items())]
        command += [PYTHON, "-m", "test", f"-j{jobs}", f"--timeout={TEST_SECONDS}"]
        command += [f"--tempdir={temporary}", f"--junit-xml={out}/junit.xml"]
        for pattern in ignore:
            command += ["-i", pattern]
        for name in match or []:
            command += ["-m", name]
        command += modules
        if self.aseptic:
            done = self.inside(command)
        else:
            done = run_in_session(command, self.scratch / "empty", dict(os.environ))
        return read(self.scratch / "out/junit.xml", done)

    def inside(self, command: list[str]) -> str:
        home = self.scratch / "aseptic"
        own = {**os.environ, "ASEPTIC_HOME": str(home)}
        aseptic = [str(self.aseptic)]
        limit = f"wall={PASS_SECONDS}s"
        run = [*aseptic, "run", "--no-code", "--limit", limit, "--", *command]
        printed = run_in_session(run, self.scratch / "empty", own)
        shutil.rmtree(self.scratch / "out")
        export = [*aseptic, "export", "run:latest/out", "--to", str(self.scratch / "out")]
        subprocess.run(export, env=own, cwd=self.scratch, check=True, capture_output=True)
        return printed


def run_in_session(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    """What a command prints that has no terminal and no input; its end is judged by what it wrote."""
    log = directory.parent / "log"
    with log.open("wb") as file:
        child = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            child.wait(PASS_SECONDS + 30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return log.read_text(errors="replace")


def read(junit: Path, printed: str) -> Verdicts:
    verdicts = Verdicts()
    if not junit.exists():
        sys.exit(f"peers: the tests wrote no report; they printed:\n{printed[-4000:]}")
    for name, verdict in MODULE_LINE.findall(printed):
        verdicts.modules[name] = verdict
    for case in xml.parse(junit).getroot().iter("testcase"):
        outcome = next((child.tag for child in case if child.tag in ("skipped", "failure", "error")), None)
        name = case.attrib.get("name")
        if name is None:
            continue  # The module crashed; its own verdict says so.
        verdicts.tests[name].append(outcome or case.attrib.get("result", "completed"))
        if outcome in ("failure", "error", "skipped"):
            verdicts.details[name] = "".join(case.itertext()).strip()[-1500:]
    junit.unlink()
    return verdicts


def outcome(verdicts: Verdicts, name: str) -> str:
    return " ".join(sorted(verdicts.tests.get(name, ["absent"])))


def differing(outside: Verdicts, inside: Verdicts) -> tuple[list[str], list[str]]:
    """Modules, and tests, whose verdicts are not equal."""
    names = outside.tests.keys() | inside.tests.keys()
    tests = sorted(name for name in names if outcome(outside, name) != outcome(inside, name))
    modules = sorted(
        name for name in outside.modules.keys() | inside.modules.keys() if end(outside, name) != end(inside, name)
    )
    # Of a module that did not end on one side no test is known there; that difference is the module's.
    tests = [name for name in tests if not set(name.split(".")) & set(modules)]
    return modules, tests


def end(verdicts: Verdicts, module: str) -> str:
    """A module that failed on one side only because of tests that differ is not a difference of its own."""
    verdict = verdicts.modules.get(module, "absent")
    return "ended" if verdict in ("passed", "failed", "run no tests") else verdict


def modules_of(test: str, modules: list[str]) -> list[str]:
    """The modules that a test may come from: its own, or, for a class that several share, any of them."""
    parts = test.split(".")
    return [module for module in modules if module in parts] or modules


def compare(sides: tuple[Side, Side], modules: list[str], options: argparse.Namespace, listed: list[dict], ignore: list[str]) -> Comparison:
    outside, inside = both(sides, modules, options.jobs, None, ignore)
    of_modules, of_tests = differing(outside, inside)
    result = Comparison(outside, inside, of_modules, of_tests)
    for _ in range(RETRIES):
        doubtful = [name for name in result.tests if not is_listed(name, listed)]
        if not doubtful and not result.modules:
            break
        again = {module for name in doubtful for module in modules_of(name, modules)} | set(result.modules)
        second = both(sides, sorted(again), options.jobs, None if result.modules else doubtful, ignore)
        still_modules, still_tests = differing(*second)
        for name in doubtful:
            if name in second[0].tests and name not in still_tests:
                result.gone[name] = f"{outcome(outside, name)} outside, {outcome(inside, name)} inside, then equal"
        result.modules = [name for name in result.modules if name in still_modules]
        result.tests = [name for name in result.tests if name not in result.gone]
    return result


def both(
    sides: tuple[Side, Side], modules: list[str], jobs: int, match: list[str] | None, ignore: list[str]
) -> tuple[Verdicts, Verdicts]:
    """Both sides at once: most of these tests wait, so two cores are enough for both."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        outside, inside = pool.map(lambda side: side.run(modules, jobs, match, ignore), sides)
    return outside, inside


def is_listed(name: str, listed: list[dict]) -> bool:
    return any(fnmatch.fnmatchcase(name, row["test"]) for row in listed)


def judge(result: Comparison, listed: list[dict], modules: list[str], whole: bool) -> bool:
    """Prints what is not as it should be; whether nothing was."""
    outside, inside = result.outside, result.inside
    for name, what in sorted(result.gone.items()):
        print(f"peers: not counted, for it was not so again: {name}: {what}")
    for name in result.modules:
        print(f"peers: DIFFERENT: {name}: {outside.modules.get(name)} outside, {inside.modules.get(name)} inside")
    unexpected = [name for name in result.tests if not is_listed(name, listed)]
    for name in unexpected:
        print(f"peers: DIFFERENT: {name}: {outcome(outside, name)} outside, {outcome(inside, name)} inside")
        for side in (outside, inside):
            if name in side.details:
                print("    " + side.details[name].replace("\n", "\n    "))
    here = [row["test"] for row in listed if any(module in row["test"].split(".") for module in modules)]
    stale = [row for row in here if not any(fnmatch.fnmatchcase(name, row) for name in result.tests)]
    for row in stale:
        print(f"peers: STALE: {row} is in {TABLE.name} and nothing differs there")
    ran = set(modules) & {
        name for side in (outside, inside) for name, end in side.modules.items() if end in ("passed", "failed")
    }
    enough = not whole or len(ran) >= MODULES_MIN
    if not enough:
        print(f"peers: only {len(ran)} modules ran, of at least {MODULES_MIN}")
    print(
        f"peers: {len(ran)} modules of CPython as uid {os.geteuid()}, {sum(map(len, inside.tests.values()))} tests inside:"
        f" {len(unexpected) + len(result.modules)} unexpected differences, {len(result.tests) - len(unexpected)} expected,"
        f" {len(result.gone)} that came and went"
    )
    return enough and not unexpected and not result.modules and not stale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aseptic", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--jobs", type=int, default=5, help="processes on each side")
    parser.add_argument("--subset", action="store_true", help="only modules that ask who runs them")
    parser.add_argument("--module", action="append", help="only this module; repeatable")
    options = parser.parse_args()
    table = tomllib.loads(TABLE.read_text())
    modules = options.module or table["by_user" if options.subset else "modules"].split()
    user = "root" if os.geteuid() == 0 else "user"
    listed = [row for row in table["difference"] if user in row.get("as", ["root", "user"])]
    ignore = [row["test"] for row in table["not_run"]]
    start = time.monotonic()
    # A short path, for a socket's path has at most 107 bytes, and inside it is `/tmp`.
    with tempfile.TemporaryDirectory(prefix="p.", dir=options.scratch, ignore_cleanup_errors=True) as place:
        scratch = Path(place).resolve()
        sides = Side(scratch, None), Side(scratch, options.aseptic.resolve())
        result = compare(sides, modules, options, listed, ignore)
    good = judge(result, listed, modules, whole=not options.subset and not options.module)
    print(f"peers: in {time.monotonic() - start:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
