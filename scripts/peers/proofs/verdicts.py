"""What the tools of others say: each takes the document, and refuses it when something in it was changed."""

import contextlib
import io
import subprocess


class Refused(Exception):
    """What a tool said against a document."""


def command(*words, cwd=None, environment=None):
    """A tool that says no with its exit code."""
    words = [str(word) for word in words]
    done = subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Refused(said[-1] if said else f"exit {done.returncode}")
    return done.stdout


class Verdicts:
    """Prints a line for each, and counts those that are not as they must be."""

    def __init__(self):
        self.failed = self.passed = 0

    def line(self, good, text):
        self.passed += good
        self.failed += not good
        print(f"  {'ok' if good else 'FAILED'}  {text}", flush=True)

    def accepts(self, tool, what, check, *arguments):
        """Whether the tool takes the document, as it must."""
        try:
            with quiet():
                check(*arguments)
        except Exception as error:  # noqa: BLE001 - tools have errors of their own kinds
            self.line(False, f"{tool} refuses {what}: {say(error)}")
            return False
        self.line(True, f"{tool} accepts {what}")
        return True

    def refuses(self, tool, what, check, *arguments):
        """Whether the tool refuses a damaged document, as it must."""
        try:
            with quiet():
                check(*arguments)
        except Exception as error:  # noqa: BLE001
            self.line(True, f"{tool} refuses {what}: {say(error)}")
            return
        self.line(False, f"{tool} accepts {what}")

    def holds(self, what, good):
        """Something that is so or not."""
        self.line(bool(good), what)


@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def say(error):
    """The first line of what an error says, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:120]
