#!/usr/bin/env python3
"""Runs the kernel's own selftests of what the walls rest on: Landlock, seccomp, mount attributes, clone3, pidfd.

The sources are those that Debian ships (linux-source); only these tests are unpacked and built. They run
outside of any jail, as root: they prove the kernel, not aseptic. kernel.toml says which may fail and why.
"""

import argparse
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

TABLE = Path(__file__).with_suffix(".toml")
SELFTESTS = "tools/testing/selftests"
TEST_SECONDS = 120
RESULT = re.compile(r"^(ok|not ok) \d+ (?:- )?(.*)$", re.MULTILINE)
PASSED_MIN = 200  # Of about 300. Fewer means that the tests did not run, not that the kernel is good.


def run(command: list[str], directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"peers: `{' '.join(command)}` ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def source_package() -> str:
    depends = run(["apt-cache", "depends", "--no-recommends", "linux-source"], Path("/"))
    found = re.search(r"Depends: (linux-source-\S+)", depends)
    return found[1] if found else sys.exit("peers: Debian's linux-source is not known here; run apt-get update")


def unpack(scratch: Path, suites: list[dict]) -> Path:
    """Only the tests; nothing else of the 1.3 GB is written."""
    package = source_package()
    # As root, apt reads with a user of its own, who may not go into the scratch directory.
    run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], scratch)
    archive = next(scratch.glob(f"{package}_*.deb"))
    tarball = f"./usr/src/{package}.tar.xz"
    run(["sh", "-c", f"dpkg-deb --fsys-tarfile {archive} | tar --extract {tarball}"], scratch)
    wanted = [suite["name"] for suite in suites] + ["kselftest.h", "kselftest_harness.h"]
    members = [f"{package}/{SELFTESTS}/{name}" for name in wanted]
    run(["tar", "--extract", "--file", tarball, *members], scratch)
    return scratch / package / SELFTESTS


def build(tests: Path, suite: dict) -> None:
    compile_ = ["gcc", "-O2", "-w", "-D_GNU_SOURCE", "-I", "..", "-I", "../../.."]
    directory = tests / suite["name"]
    for name in suite["files"]:
        run([*compile_, "-o", name, f"{name}.c", "-lcap", "-lpthread"], directory)
    if (directory / "true.c").exists():
        run(["gcc", "-static", "-O2", "-o", "true", "true.c"], directory)  # What Landlock may not execute.


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if os.geteuid() != 0:
        print("peers: the kernel's own tests need root; run as root to pass them, too")
        return
    table = tomllib.loads(TABLE.read_text())
    may_fail = [row["test"] for row in table["may_fail"]]
    passed, skipped, listed, unexpected, begin = 0, 0, 0, [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aseptic-kernel.", dir="/var/tmp") as scratch:
        tests = unpack(Path(scratch), table["suite"])
        for suite in table["suite"]:
            build(tests, suite)
            for name in suite["files"]:
                try:
                    done = subprocess.run(
                        [f"./{name}"], cwd=tests / suite["name"], stdin=subprocess.DEVNULL, capture_output=True,
                        text=True, errors="replace", timeout=TEST_SECONDS,
                    )  # fmt: skip
                except subprocess.TimeoutExpired:
                    unexpected.append(f"{suite['name']}/{name} did not end within {TEST_SECONDS} s")
                    continue
                results = RESULT.findall(done.stdout)
                bad = [test for verdict, test in results if verdict == "not ok"]
                skipped += sum(verdict == "ok" and "SKIP" in test for verdict, test in results)
                passed += sum(verdict == "ok" and "SKIP" not in test for verdict, test in results)
                strange = [test for test in bad if not any(fnmatch.fnmatchcase(test, row) for row in may_fail)]
                listed += len(bad) - len(strange)
                if not results or (done.returncode != 0 and not bad):
                    strange.append(f"ended with {done.returncode} after {len(results)} results")
                for test in strange:
                    unexpected.append(f"{suite['name']}/{name}: {test}")
                    lines = [line for line in (done.stdout + done.stderr).splitlines() if test.split(".")[-1] in line]
                    print("\n".join(f"    {line}" for line in lines[-6:]))
    for what in unexpected:
        print(f"peers: FAILED: {what}")
    print(
        f"peers: the kernel's own tests: {passed} passed, {skipped} skipped, {listed} failed as listed,"
        f" {len(unexpected)} failed, in {time.monotonic() - begin:.0f} s"
    )
    if unexpected:
        sys.exit(1)
    if passed < PASSED_MIN:
        sys.exit(f"peers: only {passed} of the kernel's own tests passed, of at least {PASSED_MIN}")


if __name__ == "__main__":
    main()
