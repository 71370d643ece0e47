# SPDX-License-Identifier: BSD-3-Clause
"""Runs what comes before a lab's server: hooks, software and the user's own script. Standard library only.

Travels with the job beside ``launcher.py``, which calls it for each step of ``lab.json`` in turn. A step is one bash
script; it has succeeded if bash ends with 0, and then what it has exported (variables and functions) is the
environment of the next step and of the server. Python 3.9 or newer.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

STEP = "lab_step"  # event: a step runs; its text is the step's label, its details the step's code
STEP_DONE = "lab_step_done"  # event: it has succeeded; its text is how long it took, its details the step's code
STEP_WARNING = "lab_step_warning"  # event: it has failed and the lab starts without it; details: its last lines
STEP_FAILED = "lab_step_failed"  # event: it has failed and so has the start; details: its last lines
FIRST_PROGRESS, LAST_PROGRESS = 55, 70  # steps move the bar between these

TAIL_BYTES = 8192  # of a step's output that is kept for its event
PASSED_BYTES = 262144  # of a step's output that is passed on as it comes; beyond that only the tail
REPORT_BYTES = 8388608  # largest environment that is taken over
CHUNK_BYTES = 65536
POLL_S = 0.05  # how often the end of a process is looked for whose output somebody else holds open
KILL_S = 2.0  # between SIGTERM and SIGKILL
LAST_WORDS_S = 60.0  # how long a start that has failed waits for the portal to hear why
TEXT = 500  # longest text of an event

# Bash says its environment when it leaves, however it leaves; the empty entry at the end says that this is all of it.
# A site's `module` is a function that the job inherits; where it is not, it comes with the first use.
_PROLOGUE = """\
trap '/usr/bin/env -0 >&{report} && printf "\\0" >&{report}' EXIT
type module >/dev/null 2>&1 || module() {{ unset -f module; . /etc/profile; module "$@"; }}
"""
_BASHS_OWN = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


class Failed(Exception):
    """The lab cannot run; the text says why and what to do."""


@dataclass(frozen=True)
class Step:
    """One thing that is done before the server starts; an entry of ``steps`` in ``lab.json``."""

    code: str
    label: str
    script: tuple[str, ...]
    required: bool
    timeout_s: float
    file: str = ""
    """Path below the home that the script is about: without this file there is nothing to do."""

    def wanted(self) -> bool:
        """Tell whether there is something to do."""
        return not self.file or os.path.isfile(Path.home() / self.file)  # noqa: PTH113  False also if it may not look


@dataclass(frozen=True)
class Outcome:
    """How a step has ended; an empty problem is success."""

    problem: str
    environment: dict[str, str] | None
    """What it has exported; None if it did not say."""
    output: bytes


class Running:
    """The process of a step, in a session of its own; it gets SIGTERM if the launcher is killed."""

    def __init__(self, step: Step, environment: Mapping[str, str]) -> None:
        """Start the step; :class:`OSError` if that is not possible."""
        self._step = step
        self._output, self._passed, self._report = b"", 0, b""
        self._said, said = os.pipe()
        self._reported, report = os.pipe()
        self._open = [self._said, self._reported]
        script = "\n".join([_PROLOGUE.format(report=report), *step.script, ""])
        try:
            self._process = subprocess.Popen(
                ["/bin/bash", "--noprofile", "--norc", "-c", script],
                env=environment,
                cwd=Path.home() if Path.home().is_dir() else None,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(report,),
                start_new_session=True,
                preexec_fn=end_with_parent(),  # noqa: PLW1509  there are no threads
            )
        finally:
            os.close(said)
            os.close(report)

    def outcome(self) -> Outcome:
        """Return how the step has ended, by itself or at its time limit."""
        if not self._ended_within(self._step.timeout_s):
            self.end()
            return self._failed(f"not done after {self._step.timeout_s:g} s")
        code = self._process.returncode
        if code:
            self.end()
            return self._failed(f"failed with code {code}" if code > 0 else f"ended by signal {-code}")
        self._hand_over()
        reported = parse_environment(self._report)
        if reported is None:
            say(f"step {self._step.code}: it did not say its environment, which stays as it was.")
        return Outcome("", reported, self._output)

    def end(self) -> None:
        """Leave nothing of the step and of what it has started: SIGTERM, then SIGKILL for its whole group."""
        deadline = time.monotonic() + KILL_S
        self._signal(signal.SIGTERM)
        while self._signal(0) and time.monotonic() < deadline:
            self._drain()
            time.sleep(POLL_S)
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_S)  # one that hangs in a file system cannot even be killed

    @property
    def lives_on(self) -> bool:
        """Whether something that the step has started is still there."""
        return self._signal(0)

    def _failed(self, problem: str) -> Outcome:
        if self._passed > PASSED_BYTES:
            sys.stderr.buffer.write(b"\n[...]\n" + self._output + b"\n")
            sys.stderr.buffer.flush()
        return Outcome(problem, None, self._output)

    def _ended_within(self, limit_s: float) -> bool:
        """Take what the step says until its process has ended; who else holds its output open is not waited for."""
        deadline = time.monotonic() + limit_s
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                return False
            self._take(POLL_S)
        self._drain()
        return True

    def _drain(self) -> None:
        """Take what was written and not yet read, and no more than that of somebody who never stops."""
        for _ in range(16):
            if not self._take(0):
                return

    def _take(self, wait_s: float) -> bool:
        """Take what is there, waiting that long for something; tell whether there was anything."""
        if not self._open:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(wait_s)
            return False
        ready = select.select(self._open, [], [], wait_s)[0]
        for source in ready:
            data = os.read(source, CHUNK_BYTES)
            if not data:
                self._open.remove(source)
                os.close(source)
            elif source == self._reported:
                self._report = (self._report + data)[: REPORT_BYTES + 1]
            else:
                self._pass_on(data)
        return bool(ready)

    def _pass_on(self, data: bytes) -> None:
        """Keep the tail, and write the rest to the job's stderr while there is not too much of it."""
        self._output = (self._output + data)[-TAIL_BYTES:]
        if room := max(PASSED_BYTES - self._passed, 0):
            sys.stderr.buffer.write(data[:room])
            sys.stderr.buffer.flush()
        self._passed += len(data)

    def _hand_over(self) -> None:
        """Let what goes on in the background (an X server) write to the job's stderr; its pipe must not break."""
        if self._said in self._open and self.lives_on:
            with contextlib.suppress(OSError):
                subprocess.Popen(["/bin/cat"], stdin=self._said, stdout=sys.stderr, preexec_fn=end_with_parent())  # noqa: PLW1509
        for source in self._open:
            os.close(source)
        self._open = []

    def _signal(self, number: int) -> bool:
        """Send a signal to the group of the step; tell whether anything of it is there."""
        # No new process gets the number of a group that lives: one that has it after ours was reaped is somebody else's.
        if self._process.poll() is not None and exists(self._process.pid):
            return False
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


class Preparation:
    """All steps of a lab, run in turn."""

    def __init__(
        self,
        steps: Iterable[Step],
        protected: set[str],
        secrets: Mapping[str, str],
        event: Callable[..., object],
        allowed: Callable[..., AbstractContextManager[None]],
    ) -> None:
        """*protected* variables are never changed, *secrets* never shown; *allowed* says where a signal may interrupt."""
        self._steps, self._protected, self._secrets = tuple(steps), protected, secrets
        self._event, self._allowed = event, allowed
        self._background: list[Running] = []

    def run(self, environment: dict[str, str]) -> dict[str, str]:
        """Return the environment after all steps; :class:`Failed` if the lab cannot do without one that failed."""
        steps = [step for step in self._steps if step.wanted()]
        for place, step in enumerate(steps):
            environment = self._after(step, environment, progress(place, len(steps)))
        return environment

    def end(self) -> None:
        """Leave nothing of a step that was interrupted, and of what steps have started in the background."""
        for running in self._background:
            running.end()

    def _after(self, step: Step, env: dict[str, str], percent: int) -> dict[str, str]:
        self._event(STEP, percent, step.label, details=step.code)
        say(f"step {step.code}: {step.label}")
        began = time.monotonic()
        outcome = self._outcome(step, {name: value for name, value in env.items() if name not in self._secrets})
        if not outcome.problem:
            took = time.monotonic() - began
            self._event(STEP_DONE, percent, f"{took:.1f} s", details=step.code)
            return next_environment(env, outcome.environment, self._protected)
        text = f"{step.label}: {outcome.problem}"
        details = last_lines(outcome.output, self._secrets.values())
        if step.required:
            self._event(STEP_FAILED, percent, text, patient(LAST_WORDS_S), details)
            raise Failed(text)
        say(f"step {step.code}: {outcome.problem}; the lab starts without it.")
        self._event(STEP_WARNING, percent, f"{text}; the lab starts without it", details=details)
        return env

    def _outcome(self, step: Step, env: dict[str, str]) -> Outcome:
        """Return how the step has ended; a signal may interrupt it, and then :meth:`end` has still to be called."""
        with self._allowed(False):
            try:
                running = Running(step, env)
            except OSError as error:
                return Outcome(f"cannot be run ({error})", None, b"")
            self._background.append(running)
            with self._allowed():
                outcome = running.outcome()
            if not running.lives_on:
                self._background.remove(running)
            return outcome


def exists(pid: int) -> bool:
    """Tell whether there is a process of that number."""
    try:
        os.getpgid(pid)
    except ProcessLookupError:
        return False
    return True


def parse_environment(report: bytes) -> dict[str, str] | None:
    """Return what ``env -0`` and an empty entry behind it say; None if that is not all of an environment."""
    if not report.endswith(b"\0\0") or len(report) > REPORT_BYTES:
        return None
    entries = (os.fsdecode(entry).partition("=") for entry in report[:-2].split(b"\0"))
    return {name: value for name, equals, value in entries if name and equals}


def next_environment(
    before: Mapping[str, str], reported: Mapping[str, str] | None, protected: Iterable[str]
) -> dict[str, str]:
    """Return the environment after a step: what it reported, but nothing that belongs to the portal or to bash."""
    if reported is None:
        return dict(before)
    kept = {*protected, *_BASHS_OWN}

    def stays(name: str) -> bool:
        return name in kept or name.startswith(("JUPYTERHUB_", "JPY_"))

    taken = {name: value for name, value in reported.items() if not stays(name)}
    return {**taken, **{name: value for name, value in before.items() if stays(name)}}


def last_lines(output: bytes, secrets: Iterable[str]) -> str:
    """Return *output*, the last of what a step said, as text of at most 8 KiB: no control characters, no secrets."""
    text = output.decode("utf-8", "replace")
    if len(output) >= TAIL_BYTES:
        text = text.partition("\n")[2] or text  # the first line is cut
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    shown = "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
    return shown.strip("\n").encode("utf-8", "replace")[-TAIL_BYTES:].decode("utf-8", "ignore")


def progress(place: int, count: int) -> int:
    """Return the percent of step number *place* (from 0) of *count*: never less than that of the one before."""
    return FIRST_PROGRESS + (LAST_PROGRESS - FIRST_PROGRESS) * (place + 1) // count


CONFIGURATION = {
    "jupyter_server_config.d/jsc_lab.json": {"ServerApp": {"jpserver_extensions": {"jsc_lab": True}}},
    # JupyterLab would ask each new user whether it may fetch news from the world.
    "labconfig/default_setting_overrides.json": {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}},
}
"""Files of the server's configuration, below a folder of JUPYTER_CONFIG_PATH."""


@contextlib.contextmanager
def configuration(directory: Path) -> Iterator[Path]:
    """Yield the folder of the server's configuration: in *directory*, or where that cannot be written a private one.

    The latter is gone afterwards.
    """
    folder, private = directory / "jupyter", ""
    try:
        write_configuration(folder)
    except OSError:
        try:
            private = tempfile.mkdtemp(prefix="jsc-")
            folder = Path(private)
            write_configuration(folder)
        except OSError as error:
            raise Failed(f"There is no place for the server's configuration ({error}): set TMPDIR.") from error
    try:
        yield folder
    finally:
        if private:
            shutil.rmtree(private, ignore_errors=True)


def write_configuration(folder: Path) -> None:
    """Enable the extension, and keep JupyterLab quiet, beside whatever the user's own configuration says."""
    for name, content in CONFIGURATION.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), "utf-8")


def patient(limit_s: float) -> Callable[[float], object]:
    """Return a pause that raises :class:`Failed` instead of going on after *limit_s* from now."""
    deadline = time.monotonic() + limit_s

    def pause(seconds: float) -> None:
        if time.monotonic() + seconds > deadline:
            raise Failed("The portal does not answer.")
        time.sleep(seconds)

    return pause


def end_with_parent() -> Callable[[], object] | None:
    """Return what makes the kernel send SIGTERM to a child when its parent dies (Linux, prctl(2)); else None."""
    try:
        import ctypes  # some Pythons are built without it

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, AttributeError):
        return None
    return lambda: prctl(1, signal.SIGTERM, 0, 0, 0)


def say(text: str) -> None:
    """Write a line to the job's stderr, which the portal shows if the lab fails."""
    print(f"jupyter-jsc: {text}", file=sys.stderr, flush=True)
