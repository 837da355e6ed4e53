#!/usr/bin/env python3
"""Fails when the source is not built the way ARCHITECTURE.md draws it.

- Every edge between crates of this workspace is in the `edges` block of ARCHITECTURE.md, which names
  exactly the crates that exist.
- `unsafe` stands in `crates/sandbox/src/sys*` and `crates/drill/src/sys*` only, and every crate but the
  sandbox has the workspace's lints.
- A source file has at most 400 lines, or its size in LONG_FILES, which may only go down.
- docs/errors.md explains every error code.
- docs/ names the schema of every document that `--json` prints.
- docs/dependencies.md gives one reason for each dependency, and crates take no other.
- Every test and every attempt of the drill that docs/threat-model.md and docs/promises.md name exists.
- Every relative link in a page leads to a file, and its anchor to a heading.

`--self-test` breaks each rule on purpose and fails when that goes unnoticed.
"""

import json
import posixpath
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINES_MAX = 400
UNSAFE_CRATE = "aseptic-sandbox"
UNSAFE_FILE = re.compile(r"crates/(sandbox|drill)/src/sys(\.rs$|/|_)")

# Longer than LINES_MAX, with the size they must not outgrow: {"crates/…/file.rs": 450}.
LONG_FILES: dict[str, int] = {"crates/model/src/event.rs": 470}  # One enum, every event of which has its place in it.

# First words of error codes; a code is `family/cause`.
ERROR_FAMILIES = (
    "archive attest catalog cli dataset drill environment export home incident init input ledger limit metrics network"
    " plan quarantine replay request result retention run sandbox spec stop store accept"
).split()

# Pages that name the test of each statement.
PAGES_WITH_TESTS = ("docs/threat-model.md", "docs/promises.md")

# Comments, strings and characters: where the word `unsafe` is only a word.
NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\bb?r(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"|'(?:\\.[^']*|[^'\\])'""",
    re.DOTALL,
)


def parse_edges(architecture: str) -> dict[str, set[str]]:
    """The `edges` block: one line `crate → crates it may use` per crate."""
    block = re.search(r"^```edges\n(.*?)^```$", architecture, re.DOTALL | re.MULTILINE)
    if block is None:
        sys.exit("structure: ARCHITECTURE.md has no block ```edges")
    lines = (line.partition("→") for line in block[1].splitlines() if line.strip())
    return {crate.strip(): set(uses.split()) for crate, _, uses in lines}


def check_edges(allowed: dict[str, set[str]], packages: list[dict]) -> list[str]:
    """Edges of every kind count: a test that needs another leaf belongs above both."""
    names = {package["name"] for package in packages}
    problems = [f"{crate} is in ARCHITECTURE.md and does not exist" for crate in sorted(set(allowed) - names)]
    for package in packages:
        crate = package["name"]
        if crate not in allowed:
            problems.append(f"{crate} is not in ARCHITECTURE.md")
            continue
        used = {dependency["name"] for dependency in package["dependencies"]} & names
        problems += [
            f"{crate} → {other} is not in ARCHITECTURE.md" for other in sorted(used - allowed[crate])
        ]
    return problems


def check_dependencies(workspace: dict, packages: list[dict], reasons: str) -> list[str]:
    """One line of reason for each dependency that is not ours, and no dependency beside these."""
    declared = workspace["workspace"]["dependencies"]
    foreign = {
        name for name, entry in declared.items() if "path" not in (entry if isinstance(entry, dict) else {})
    }
    explained = re.findall(r"^\| `([^`]+)` \| [^|]*\w[^|]* \|", reasons, re.MULTILINE)
    problems = [
        f"docs/dependencies.md gives no reason for {name}" for name in sorted(foreign - set(explained))
    ]
    problems += [
        f"docs/dependencies.md explains {name}, which is not in Cargo.toml"
        for name in explained
        if name not in foreign
    ]
    for package in packages:
        names = {dependency["name"] for dependency in package["dependencies"]}
        problems += [
            f"{package['name']} uses {name} past [workspace.dependencies]"
            for name in sorted(names - set(declared))
        ]
    return problems


def check_lints(manifests: dict[str, dict]) -> list[str]:
    """A crate without the workspace's lints could allow itself `unsafe`."""
    return [
        f"{crate} does not take the workspace's lints"
        for crate, manifest in manifests.items()
        if crate != UNSAFE_CRATE and not manifest.get("lints", {}).get("workspace")
    ]


def check_unsafe(path: str, source: str) -> list[str]:
    """The word in code; `unsafe_code` in an attribute is another word, and the compiler minds it."""
    if UNSAFE_FILE.match(path):
        return []
    code = NO_CODE.sub(lambda found: "\n" * found[0].count("\n"), source)
    lines = [number for number, line in enumerate(code.splitlines(), 1) if re.search(r"\bunsafe\b", line)]
    return [f"{path}:{line}: `unsafe` outside the modules `sys` of sandbox and drill" for line in lines]


def check_length(path: str, source: str, long_files: dict[str, int]) -> list[str]:
    """A file on the list that became shorter lowers its number, so it cannot grow back unseen."""
    lines, bound = source.count("\n"), long_files.get(path, LINES_MAX)
    if lines > bound:
        return [f"{path} has {lines} lines; at most {bound} are allowed"]
    if path in long_files and lines < bound:
        return [f"{path} has {lines} lines now; lower LONG_FILES from {bound}, or remove it at {LINES_MAX}"]
    return []


def check_error_codes(path: str, source: str, listed: str) -> list[str]:
    """Each code of a `Diagnosis`, such as "store/full", is explained in docs/errors.md."""
    product = source.split("#[cfg(test)]")[0]
    codes = re.findall(r'"((?:%s)/[a-z-]+)"' % "|".join(ERROR_FAMILIES), product)
    return [f"{path}: docs/errors.md does not explain {code}" for code in codes if f"`{code}`" not in listed]


def check_schemas(path: str, source: str, listed: str) -> list[str]:
    """Each form of a document, such as "aseptic.runs/1", is described somewhere in docs/."""
    product = source.split("#[cfg(test)]")[0]
    schemas = re.findall(r'"(aseptic\.[a-z-]+/\d+)"', product)
    return [f"{path}: no page in docs/ describes {schema}" for schema in schemas if f"`{schema}`" not in listed]


def module_of(path: str) -> tuple[str, list[str]]:
    """`crates/store/src/code/git.rs` is `store` and `code`, `git`; the harness `tests/it` is no module."""
    crate, _, *rest = path.removeprefix("crates/").removesuffix(".rs").split("/")
    return crate, [part for part in rest if part not in ("it", "lib", "main", "mod")]


def parse_tests(sources: dict[str, str]) -> set[str]:
    """`crate module::test` of each `#[test]`; where the module `tests` stands in a file, it counts as one."""
    found = set()
    for path, source in sources.items():
        crate, modules = module_of(path)
        inline = re.search(r"^mod tests \{", source, re.MULTILINE)
        for test in re.finditer(r"#\[test\]\s*(?:#\[[^\]]*\]\s*|//[^\n]*\n\s*)*fn (\w+)", source):
            inner = ["tests"] if inline and inline.start() < test.start() else []
            found.add(f"{crate} {'::'.join([*modules, *inner, test[1]])}")
    return found


def check_tests(page: str, text: str, tests: set[str], attempts: set[str]) -> list[str]:
    """In a cell, `crate module::test`, or the same without a crate, which is that of the name before."""
    problems = []
    for cell in re.split(r"(?<!\\)\||\n\n", text):
        crate = None
        for name in re.findall(r"`([^`\n]+)`", cell):
            known = re.fullmatch(r"(?:(\w+) )?((?:[a-z0-9_]+::)+[a-z0-9_]+|(?<= )[a-z0-9]+_[a-z0-9_]+)", name)
            attempt = re.fullmatch(r"(?:(drill) )?([a-z0-9*]+(?:-[a-z0-9*]+)*)", name)
            if name == "crate module::test":
                continue
            if known and (known[1] or crate):
                crate = known[1] or crate
                wanted = f"{'aseptic' if crate == 'cli' else crate} {known[2]}"
                if wanted not in tests:
                    problems.append(f"{page}: there is no test `{crate} {known[2]}`")
            elif attempt and (attempt[1] or crate == "drill"):
                crate = "drill"
                form = re.escape(attempt[2]).replace(r"\*", ".*")
                if not any(re.fullmatch(form, there) for there in attempts):
                    problems.append(f"{page}: there is no attempt `drill {attempt[2]}`")
    return problems


def anchors_of(text: str) -> set[str]:
    """As on GitHub: lower case, without signs, with `-` for each space."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(page: str, text: str, pages: dict[str, str], exists) -> list[str]:
    """A link to a file of the checkout, with an anchor or none; one to a site is not looked at."""
    problems = []
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        if not exists(target):
            problems.append(f"{page}: there is no {link}")
        elif anchor and anchor not in anchors_of(pages.get(target, "")):
            problems.append(f"{page}: {target} has no heading #{anchor}")
    return problems


def check_pages(sources: dict[str, str]) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    pages = {page: (ROOT / page).read_text() for page in listed if page and (ROOT / page).is_file()}
    tests = parse_tests(sources)
    drill = "\n".join(source for path, source in sources.items() if path.startswith("crates/drill/src/family/"))
    attempts = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', drill))
    problems = []
    for page, text in pages.items():
        problems += check_links(page, text, pages, lambda target: (ROOT / target).exists())
        if page in PAGES_WITH_TESTS:
            problems += check_tests(page, text, tests, attempts)
    return problems


def check_tree() -> list[str]:
    """Every rule on the checkout."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = metadata["packages"]
    manifests = {
        package["name"]: tomllib.loads(Path(package["manifest_path"]).read_text()) for package in packages
    }
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())
    problems = check_edges(parse_edges((ROOT / "ARCHITECTURE.md").read_text()), packages)
    problems += check_dependencies(workspace, packages, (ROOT / "docs/dependencies.md").read_text())
    problems += check_lints(manifests)
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in sorted((ROOT / "crates").rglob("*.rs"))
    }
    errors = (ROOT / "docs/errors.md").read_text()
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs").rglob("*.md")))
    problems += [f"{path} is in LONG_FILES and does not exist" for path in LONG_FILES if path not in sources]
    for path, source in sources.items():
        problems += check_unsafe(path, source) + check_length(path, source, LONG_FILES)
        if "/src/" in path and not path.endswith("/tests.rs"):
            problems += check_error_codes(path, source, errors) + check_schemas(path, source, pages)
    return problems + check_pages(sources)


def self_test() -> None:
    """Each rule holds on a right input and fails on a wrong one."""

    def package(name: str, *uses: str) -> dict:
        return {"name": name, "dependencies": [{"name": use} for use in uses]}

    edges = parse_edges("text\n```edges\nrunner → store model\nstore  → model\nmodel  →\n```\n")
    right = [package("runner", "store"), package("store", "model", "serde"), package("model")]
    assert check_edges(edges, right) == []
    assert check_edges(edges, [package("runner"), package("store", "runner"), package("model")]) == [
        "store → runner is not in ARCHITECTURE.md"
    ]
    assert check_edges(edges, [*right, package("new")]) == ["new is not in ARCHITECTURE.md"]
    assert check_edges(edges, right[:2]) == ["model is in ARCHITECTURE.md and does not exist"]

    workspace = {"workspace": {"dependencies": {"serde": "1", "model": {"path": "model"}}}}
    reasons = "| `serde` | JSON |\n"
    assert check_dependencies(workspace, [package("store", "serde", "model")], reasons) == []
    assert len(check_dependencies(workspace, [], "| `serde` |  |\n")) == 1
    assert len(check_dependencies(workspace, [], reasons + "| `gone` | why |\n")) == 1
    assert len(check_dependencies(workspace, [package("store", "libc")], reasons)) == 1

    assert check_lints({"store": {"lints": {"workspace": True}}, UNSAFE_CRATE: {}}) == []
    assert len(check_lints({"store": {}})) == 1

    words = '// unsafe\nlet a = "unsafe \\" unsafe"; /* unsafe\n*/ let b = [\'"\', \'x\']; r#"unsafe"#;\n'
    assert check_unsafe("crates/store/src/lib.rs", words) == []
    assert len(check_unsafe("crates/store/src/lib.rs", words + "unsafe { f() }\n")) == 1
    assert len(check_unsafe("crates/sandbox/src/system.rs", "unsafe fn f() {}\n")) == 1
    assert check_unsafe("crates/sandbox/src/sys.rs", "unsafe fn f() {}\n") == []
    assert check_unsafe("crates/sandbox/src/sys/mount.rs", "unsafe fn f() {}\n") == []
    assert check_unsafe("crates/drill/src/sys/ipc.rs", "unsafe fn f() {}\n") == []
    assert len(check_unsafe("crates/drill/src/family/kernel.rs", "unsafe fn f() {}\n")) == 1
    assert len(check_unsafe("crates/store/src/sys.rs", "unsafe fn f() {}\n")) == 1

    assert check_error_codes("a.rs", '"store/full"', "| `store/full` |") == []
    assert len(check_error_codes("a.rs", '"store/full"', "| `store/fuller` |")) == 1

    assert check_schemas("a.rs", '"aseptic.runs/1"', "| `aseptic.runs/1` |") == []
    assert len(check_schemas("a.rs", '"aseptic.runs/2"', "| `aseptic.runs/1` |")) == 1

    tests = parse_tests(
        {
            "crates/aseptic/tests/it/limits.rs": "#[test]\n#[ignore]\nfn memory() {}\nfn helper() {}\n",
            "crates/runner/src/code/git.rs": "fn hostile() {}\nmod tests {\n    #[test]\n    fn hostile() {}\n}\n",
        }
    )
    assert tests == {"aseptic limits::memory", "runner code::git::tests::hostile"}
    right = "`crate module::test` | a `plain` word | `cli limits::memory`, `limits::memory`, `runner code::git::tests::hostile` |\n"
    assert check_tests("a.md", right, tests, set()) == []
    assert len(check_tests("a.md", "| `cli limits::helper` |", tests, set())) == 1
    assert len(check_tests("a.md", "| `cli read_me` |", tests, set())) == 1
    assert len(check_tests("a.md", "| `cli limits::memory`, `code::git::tests::hostile` |", tests, set())) == 1
    assert check_tests("a.md", "| `drill left-*`, `raw` | `other` |", tests, {"left-keys", "raw"}) == []
    assert len(check_tests("a.md", "| `drill left-*`, `raw` |", tests, {"raw"})) == 1
    assert len(check_tests("a.md", "| `drill left-*`, `raw` |", tests, {"left-keys"})) == 1

    pages = {"docs/a.md": "# One `of` them\n", "docs/b.md": ""}
    here = {*pages, "src"}.__contains__
    assert check_links("docs/b.md", "[x](a.md) [x](../src) [x](a.md#one-of-them) [x](http://a)", pages, here) == []
    assert len(check_links("docs/b.md", "[x](c.md) [x](src) [x](a.md#two) [x](#none)", pages, here)) == 4

    assert check_length("a.rs", "\n" * LINES_MAX, {}) == []
    assert len(check_length("a.rs", "\n" * (LINES_MAX + 1), {})) == 1
    assert check_length("a.rs", "\n" * 500, {"a.rs": 500}) == []
    assert len(check_length("a.rs", "\n" * 499, {"a.rs": 500})) == 1


def main() -> None:
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        print("structure: the check notices what it must")
        return
    problems = check_tree()
    for problem in problems:
        print(f"structure: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print("structure: as drawn in ARCHITECTURE.md")


if __name__ == "__main__":
    main()
