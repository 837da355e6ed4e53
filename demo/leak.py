"""A program that should not be trusted. It tries what a leaky or hostile experiment would try.

    leak.py --leave     leave a file wherever the next run could look for it
    leak.py             try everything; fail if anything works
    leak.py --outside   the same attempts without a jail; fail if any does NOT work

The last one is the twin that keeps the first honest: an attempt with a mistake in it would fail
everywhere and look like a strong wall. What the attempts aim at comes as parameters. Every attempt
undoes what it did.
"""

import json
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

SECONDS_TO_CONNECT = 3

params = json.loads(Path(os.environ["ASEPTIC_PARAMS"]).read_text())
home = Path(os.environ["HOME"])
caller_home = Path(params.get("caller_home", home))
project = Path(params.get("project", "."))
marker = params["marker"]


class Held(Exception):
    """The attempt came to nothing although no system call failed."""


def reason(error: OSError | Held) -> str:
    """Why an attempt failed, in the kernel's words where it was the kernel."""
    return getattr(error, "strerror", None) or str(error)


def first_that_works(*attempts: Callable[[], str]) -> str:
    """What the first successful attempt says; if none works, every reason."""
    reasons = []
    for attempt in attempts:
        try:
            return attempt()
        except (OSError, Held) as error:
            reasons.append(reason(error))
    raise Held(", ".join(dict.fromkeys(reasons)))


def read(*paths: Path) -> str:
    """Reads any of the files."""

    def attempt(path: Path) -> str:
        with path.open("rb") as file:
            return f"{len(file.read())} bytes from {path}"

    return first_that_works(*[lambda path=path: attempt(path) for path in paths])


def append(path: Path) -> str:
    """Appends to a file that exists."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"# planted\n")
        file.flush()
        file.truncate(end)
    return f"wrote to {path}"


def create(directory: Path) -> str:
    """Makes a file in a directory that exists."""
    path = directory / marker
    path.open("xb").close()
    path.unlink()
    return f"made a file in {directory}"


def delete(path: Path) -> str:
    """Moves a file away, which takes the same right as deleting it."""
    away = path.with_name(marker)
    path.rename(away)
    away.rename(path)
    return f"moved {path}"


def change_mode(path: Path) -> str:
    """Makes a file writable for everyone."""
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o666)
    path.chmod(before)
    return f"changed the mode of {path}"


def read_credentials() -> str:
    return read(home / ".aws/credentials", caller_home / ".aws/credentials")


def read_ssh_key() -> str:
    return read(home / ".ssh/id_ed25519", caller_home / ".ssh/id_ed25519")


def read_token() -> str:
    if "AWS_SESSION_TOKEN" not in os.environ:
        raise Held(f"not among {len(os.environ)} variables")
    return "AWS_SESSION_TOKEN is set"


def read_ignored_file() -> str:
    return read(Path(".env"), project / ".env")


def read_other_runs() -> str:
    store = Path(params["store"])
    list(store.iterdir())  # rglob() does not say why it finds nothing.
    files = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size > 0]
    if not files:
        raise Held("no file there")
    return f"{len(files)} files, such as " + read(*files)


def change_input() -> str:
    directory = Path(params.get("input", "/data/train"))
    file = min(directory.glob("*.csv"))
    return first_that_works(
        lambda: append(file), lambda: create(directory), lambda: delete(file), lambda: change_mode(file)
    )


def write_into_tree() -> str:
    return append(project / "train.py")


def write_into_environment() -> str:
    return create(next(Path(sys.prefix).glob("lib/python3*/site-packages")))


def places_to_leave() -> dict[str, Path]:
    """Where programs keep things between runs."""
    cache = os.environ.get("HF_HOME") or home / ".cache/huggingface"
    return {"/tmp": Path("/tmp"), "/dev/shm": Path("/dev/shm"), "home": home, "hugging face": Path(cache)}


def leave() -> None:
    for place in places_to_leave().values():
        place.mkdir(parents=True, exist_ok=True)
        (place / marker).write_text("left by an earlier run\n")
        print(f"left {place / marker}")


def find_left(place: str) -> str:
    return read(places_to_leave()[place] / marker)


def connect(family: int, address: tuple[str, int] | str) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.settimeout(SECONDS_TO_CONNECT)
        door.connect(address)
        return f"connected to {address!r}"


def other_processes() -> list[Path]:
    """Every process but this one."""
    return [path for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def list_processes() -> str:
    others = other_processes()
    for process in others:
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"bystander.py\0" + marker.encode() in command:
            return f"bystander.py is {process}"
    raise Held("sees only " + ", ".join(sorted(str(process) for process in others)))


def read_processes() -> str:
    def environment(process: Path) -> str:
        if not (text := (process / "environ").read_bytes()):
            raise Held("an empty environment")
        return f"{len(text)} bytes of the environment of {process}"

    def memory(process: Path) -> str:
        (process / "mem").open("rb").close()
        return f"opened the memory of {process}"

    attempts = [lambda p=p, f=f: f(p) for p in other_processes() for f in (environment, memory)]
    return first_that_works(*attempts)


def signal_process() -> str:
    os.kill(int(params["pid"]), 0)
    return f"may signal process {params['pid']}"


# What it tries. Those marked with False are not tried outside, where they would leave this machine; that the
# attempt itself is sound is shown by the one to a port of the machine.
ATTEMPTS: list[tuple[str, bool, Callable[[], str]]] = [
    ("read ~/.aws/credentials", True, read_credentials),
    ("read ~/.ssh/id_ed25519", True, read_ssh_key),
    ("read an AWS token from the environment", True, read_token),
    ("read the .env that .gitignore leaves out", True, read_ignored_file),
    ("read the outputs of other runs", True, read_other_runs),
    ("change its input dataset", True, change_input),
    ("write into the user's tree", True, write_into_tree),
    ("plant a module in the Python environment", True, write_into_environment),
    ("find what the last run left in /tmp", True, lambda: find_left("/tmp")),
    ("find what the last run left in /dev/shm", True, lambda: find_left("/dev/shm")),
    ("find what the last run left in $HOME", True, lambda: find_left("home")),
    ("find what the last run left in the Hugging Face cache", True, lambda: find_left("hugging face")),
    (
        "connect to a port of the machine",
        True,
        lambda: connect(socket.AF_INET, ("127.0.0.1", int(params["port"]))),
    ),
    ("connect to an abstract socket of the machine", True, lambda: connect(socket.AF_UNIX, "\0" + marker)),
    ("connect to the internet", False, lambda: connect(socket.AF_INET, ("1.1.1.1", 443))),
    (
        "connect to the cloud's metadata service",
        False,
        lambda: connect(socket.AF_INET, ("169.254.169.254", 80)),
    ),
    ("see other processes", True, list_processes),
    ("read another process", True, read_processes),
    ("signal another process", True, signal_process),
]


def try_everything(outside: bool) -> bool:
    """Whether each attempt ended as it should."""
    report = []
    for name, twin, attempt in ATTEMPTS:
        if outside and not twin:
            print(f"  not done  {name}: it would leave this machine", flush=True)
            continue
        try:
            outcome, detail = "breached", attempt()
        except (OSError, Held) as error:
            outcome, detail = "held", reason(error)
        report.append({"name": name, "outcome": outcome, "detail": detail})
        shown = {"breached": "works" if outside else "BREACHED", "held": "fails" if outside else "held"}[
            outcome
        ]
        print(f"  {shown:8}  {name}: {detail}", flush=True)
    (Path(os.environ["ASEPTIC_OUT"]) / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    wanted = "breached" if outside else "held"
    return all(row["outcome"] == wanted for row in report)


if sys.argv[1:] == ["--leave"]:
    leave()
else:
    sys.exit(0 if try_everything(outside=sys.argv[1:] == ["--outside"]) else 1)
