"""Inventories beside what the installers themselves say: `pip inspect` and `uv pip list`, and ldd for libraries.

An environment is installed by pip and uv from PyPI, with a local package (once copied, once editable), an archive
by URL with its digest, and numpy with its native libraries. `aseptic env list` must say the same of each package;
`env verify` must find what was changed and nothing else; and where ldd finds a library, no finding may miss it.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import venv

FROM_PYPI = ["six==1.17.0", "numpy==2.4.6", "license-expression"]
BY_UV = ["attrs", "typing-extensions==4.16.0"]


def own_package(directory, name):
    directory.mkdir()
    text = f'[project]\nname = "{name}"\nversion = "0.1"\nlicense = {{text = "Mine"}}\n[tool.setuptools]\npy-modules = ["{name}"]\n'
    (directory / "pyproject.toml").write_text(text)
    (directory / f"{name}.py").write_text("number = 1\n")
    return directory


def make(place):
    """An environment, and a URL from which one of its archives came."""
    venv.create(place / "env", with_pip=True)
    python = place / "env/bin/python"

    def pip(*arguments):
        command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    pip("install", "--quiet", "uv", "setuptools", "wheel", *FROM_PYPI)
    uv = place / "env/bin/uv"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *BY_UV], check=True)
    pip("install", "--quiet", "--no-build-isolation", own_package(place / "copied", "copied"))
    pip("install", "--quiet", "--no-build-isolation", "--editable", own_package(place / "linked", "linked"))
    report = json.loads(pip("install", "--quiet", "--dry-run", "--no-deps", "--report", "-", "toml==0.10.2"))
    url = report["install"][0]["download_info"]["url"]
    pip("install", "--quiet", "--no-deps", f"toml @ {url}")
    return python, uv, json.loads(pip("inspect"))["installed"]


def normal(name):
    return re.sub("[-_.]+", "-", name).lower()


class Checks:
    def __init__(self):
        self.done, self.failed = 0, 0

    def equal(self, what, ours, theirs):
        self.done += 1
        if ours != theirs:
            self.failed += 1
            print(f"environments: {what}: {ours!r} is not {theirs!r}", file=sys.stderr)


def compare(checks, listed, installed):
    ours = {normal(package["name"]): package for package in listed["environment"]["packages"]}
    theirs = {normal(package["metadata"]["name"]): package for package in installed}
    checks.equal("names", sorted(ours), sorted(theirs))
    for name, package in theirs.items():
        mine = ours.get(name, {})
        checks.equal(f"version of {name}", mine.get("version"), package["metadata"]["version"])
        checks.equal(f"installer of {name}", mine.get("installer"), package.get("installer"))
        checks.equal(f"whether {name} was asked for", mine.get("requested"), package.get("requested"))
        expression = package["metadata"].get("license_expression")
        if expression:
            checks.equal(f"licence of {name}", (mine.get("licence") or {}).get("expression"), expression)
        direct = package.get("direct_url", {})
        origin = mine.get("origin") or {}
        if "dir_info" in direct:
            wanted = {"path": direct["url"].removeprefix("file://"), "editable": direct["dir_info"].get("editable", False)}
            checks.equal(f"origin of {name}", origin.get("directory"), wanted)
        elif "archive_info" in direct:
            checks.equal(f"origin of {name}", origin.get("archive"), {"url": direct["url"].split("#")[0]})
            checks.equal(f"digests of {name}", mine.get("archive"), direct["archive_info"].get("hashes") or {})
        else:
            checks.equal(f"origin of {name}", origin, {})


def compare_libraries(checks, listed, environment):
    """What ldd does not find may be loaded by another library; what it finds must not be called missing."""
    missing = {one["subject"] for one in listed["findings"] if one["code"] == "native-missing"}
    for library in environment.rglob("*.so*"):
        found = subprocess.run(["ldd", library], capture_output=True, text=True).stdout
        resolved = {line.split()[0] for line in found.splitlines() if "=> /" in line}
        checks.equal(f"libraries of {library.name}", sorted(resolved & missing), [])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aseptic", required=True, type=pathlib.Path)
    aseptic = parser.parse_args().aseptic.resolve()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="aseptic-environments-") as directory:
        place = pathlib.Path(directory)
        python, uv, installed = make(place)

        def ours(*arguments):
            command = [aseptic, "--home", place / "state", "env", *arguments, "--python", place / "env", "--json"]
            return subprocess.run(command, cwd=place, capture_output=True, text=True)

        listed = json.loads(ours("list").stdout)
        compare(checks, listed, installed)
        by_uv = json.loads(subprocess.run([uv, "pip", "list", "--python", python, "--format", "json"], check=True, capture_output=True).stdout)
        mine = sorted((normal(one["name"]), one["version"]) for one in listed["environment"]["packages"])
        checks.equal("uv's list", mine, sorted((normal(one["name"]), one["version"]) for one in by_uv))
        codes = sorted((one["code"], one["subject"]) for one in listed["findings"] if one["subject"] in ("copied", "linked"))
        checks.equal("findings", codes, [("editable", "linked"), ("local-directory", "copied")])
        compare_libraries(checks, listed, place / "env")
        clean = ours("verify")
        checks.equal("a fresh environment", (clean.returncode, json.loads(clean.stdout)["findings"]), (0, []))
        six = next((place / "env").rglob("six.py"))
        six.write_text(six.read_text() + "\n")
        changed = ours("verify")
        found = [(one["code"], one["subject"]) for one in json.loads(changed.stdout)["findings"]]
        checks.equal("one changed file", (changed.returncode, found), (4, [("modified", "six")]))
    print(f"environments: {checks.done - checks.failed} of {checks.done} answers are those of pip, uv and ldd")
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
