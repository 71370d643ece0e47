# SPDX-License-Identifier: BSD-3-Clause
"""Steps with real bash, through the launcher and a hub on loopback.

Aspects: order and events; what reaches the next step and the server, and what never does; steps that fail, hang, flood,
fork, exit, or kill who started them; signals and the wall time during a step; the user's own script.
"""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import wire
from jupyter_jsc.hub import starts
from jupyter_jsc.lab import prepare
from tests.lab.conftest import TOKEN, FakeHub, JobProcess, alive, write_job

USER_HOOK = {"code": "user_hook", "script": ['. "$HOME"/.jupyter/start_lab.sh'], "required": False}


def step(*script: str, **more: Any) -> dict[str, Any]:
    """A required step, as it stands in lab.json."""
    return {"code": "hook.a.b", "label": "Checking", "script": script, "required": True, "timeout_s": 60, **more}


def user_hook(**more: Any) -> dict[str, Any]:
    """The step for the user's own script."""
    return step(**more) | USER_HOOK | {"file": ".jupyter/start_lab.sh"}


async def launched(hub: FakeHub, job: JobProcess, *steps: dict[str, Any], **changes: Any) -> None:
    """The launcher runs with these steps."""
    write_job(job.directory, hub.url, steps=list(steps), **changes)
    await job.launch()


async def running(hub: FakeHub, job: JobProcess, *steps: dict[str, Any], **changes: Any) -> dict[str, str]:
    """Return the environment of the server that runs after these steps."""
    await launched(hub, job, *steps, **changes)
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "record.json").exists)
    return dict(job.record["env"])


def said(hub: FakeHub, code: str) -> list[wire.Event]:
    """The events of one code; all bodies are what the hub accepts."""
    events = [wire.Event.model_validate(body) for kind, body in hub.posts if kind == "events"]
    return [event for event in events if event.code == code]


def test_codes_are_a_labs_own():
    """The hub refuses from labs the codes that only it writes."""
    assert not starts.HUB_CODES & {prepare.STEP, prepare.STEP_DONE, prepare.STEP_WARNING, prepare.STEP_FAILED}


async def test_steps_run_in_order_and_each_says_so(hub: FakeHub, job: JobProcess):
    """Each step is an event while it runs and one when it is done; the bar only ever grows, from 55 to 70."""
    steps = [step(f'export ORDER="${{ORDER}}{n}"', label=f"Step {n}", code=f"hook.a.{n}") for n in range(4)]
    env = await running(hub, job, *steps)
    events = [body for kind, body in hub.posts if kind == "events"]

    assert env["ORDER"] == "0123"
    assert [event["code"] for event in events] == ["lab_starting", *["lab_step", "lab_step_done"] * 4, "lab_listening"]
    assert [(event.text, event.details) for event in said(hub, "lab_step")] == [
        (f"Step {n}", f"hook.a.{n}") for n in range(4)
    ]
    assert [event.details for event in said(hub, "lab_step_done")] == [f"hook.a.{n}" for n in range(4)]
    assert all(re.fullmatch(r"0\.\d s", event.text) for event in said(hub, "lab_step_done"))
    progress = [event["progress"] for event in events]
    assert (sorted(progress), progress[0], progress[-2]) == (progress, 55, 70)


@pytest.mark.parametrize("count", [1, 2, 15, 100])
def test_progress_never_goes_back(count: int):
    """However many steps there are."""
    percents = [prepare.progress(place, count) for place in range(count)]

    assert sorted(percents) == percents
    assert (percents[0] >= 55, percents[-1]) == (True, 70)


async def test_environment_reaches_the_next_step_and_the_server(hub: FakeHub, job: JobProcess):
    """Values of any kind and exported functions arrive; what was unset is gone."""
    value = "two\nlines = 'a' \"b\" $HOME \\ \u00e9\t\x01"
    env = await running(
        hub,
        job,
        step('export LINES_="$(printf %s "$GIVEN")"', 'greet() { echo "hello $1"; }', "export -f greet", "unset GIVEN"),
        step('export GREETED="$(greet you)"', "NOT_EXPORTED=1"),
        environment={"GIVEN": value, "KEPT": "1"},
    )

    assert {name: env.get(name) for name in ("LINES_", "GREETED", "GIVEN", "KEPT", "NOT_EXPORTED")} == {
        "LINES_": value,
        "GREETED": "hello you",
        "GIVEN": None,
        "KEPT": "1",
        "NOT_EXPORTED": None,
    }


async def test_bytes_that_are_no_text_pass(hub: FakeHub, job: JobProcess):
    """A value in another encoding arrives as it was."""
    env = await running(
        hub, job, step("export ODD=$'\\xff\\xfe'"), step('export SEEN="$(printf %s "$ODD" | od -An -tx1)"')
    )

    assert env["SEEN"].split() == ["ff", "fe"]


async def test_hook_may_say_where_the_lab_is(hub: FakeHub, job: JobProcess):
    """The node's name and address are what the steps left."""
    env = await running(hub, job, step("export JSC_NODE_NAME=jwc02", "export JSC_NODE_ADDRESS=127.41.0.2"))

    assert hub.started[0]["host"] == "jwc02"
    assert env["JUPYTERHUB_SERVICE_URL"].startswith("http://127.41.0.2:")


async def test_server_python_is_found_in_the_environment_of_the_steps(hub: FakeHub, tmp_path: Path, job: JobProcess):
    """``python3`` after ``module load`` is that of the module."""
    (tmp_path / "software").mkdir()
    python = tmp_path / "software" / "jsc-python"
    python.write_text(f'#!/bin/sh\nexport BY=module\nexec {sys.executable} "$@"\n', "utf-8")
    python.chmod(0o755)
    env = await running(hub, job, step(f'export PATH="{python.parent}:$PATH"'), python="jsc-python")

    assert env["BY"] == "module"


async def test_no_step_sees_a_secret(hub: FakeHub, job: JobProcess):
    """Neither the lab's token nor another secret is in the environment of a step; the server has them."""
    env = await running(
        hub, job, step("env > $FAKE_RECORD/seen; cat /proc/$PPID/environ >> $FAKE_RECORD/seen"), step("env >&2")
    )
    seen = (job.directory / "seen").read_bytes()

    assert env["JUPYTERHUB_API_TOKEN"] == TOKEN
    assert b"JUPYTERHUB_USER=alice" in seen
    assert TOKEN.encode() not in seen
    assert b"JUPYTERHUB_API_TOKEN" not in seen
    assert TOKEN not in job.stderr + str([body for _kind, body in hub.posts])


async def test_last_lines_are_without_secrets(hub: FakeHub, job: JobProcess):
    """A script that gets hold of the token and prints it does not bring it into the history."""
    await launched(hub, job, step(f"echo token: {TOKEN}", "false"))

    assert await job.ended() == 1
    assert said(hub, "lab_step_failed")[0].details == "token: ***"


@pytest.mark.parametrize("by", ["hook", "user"])
async def test_what_the_portal_tells_a_lab_is_not_changed(hub: FakeHub, job: JobProcess, by: str):
    """Neither hooks nor the user's script give the server other variables of the portal, or new ones."""
    lines = [
        "export JUPYTERHUB_USER=root JUPYTERHUB_API_TOKEN=x JUPYTERHUB_SSL_KEYFILE=x JPY_API_TOKEN=x MINE=1",
        "unset JUPYTERHUB_API_URL",
    ]
    script = Path(job.env["HOME"]) / ".jupyter" / "start_lab.sh"
    script.parent.mkdir()
    script.write_text("\n".join(lines), "utf-8")
    env = await running(hub, job, step(*lines) if by == "hook" else user_hook(), step("true"))

    assert {name: env.get(name) for name in ("JUPYTERHUB_USER", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "MINE")} == {
        "JUPYTERHUB_USER": "alice",
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JPY_API_TOKEN": TOKEN,
        "MINE": "1",
    }
    assert "JUPYTERHUB_SSL_KEYFILE" not in env
    assert env["JUPYTERHUB_API_URL"] == f"{hub.url}/hub/api"


@pytest.mark.parametrize(
    ("script", "problem", "lines"),
    [
        (["echo one", "echo two >&2", "exit 3", "echo never"], "failed with code 3", "one\ntwo"),
        (["set -e", "echo one", "false", "echo never"], "failed with code 1", "one"),
        (["echo one", "kill -9 $$"], "ended by signal 9", "one"),
        (["no-such-program 2>/dev/null"], "failed with code 127", ""),
        (["echo one", "exec false"], "failed with code 1", "one"),
        (["printf 'a\\0b\\033[31mred\\033[0m\\rc\\377\\n'; false"], "failed with code 1", "a\ufffdbred\nc\ufffd"),
        (["echo 'an open quote"], "failed with code 2", None),
    ],
    ids=["exit", "set-e", "killed", "missing", "exec", "binary", "syntax"],
)
async def test_required_step_that_fails(
    hub: FakeHub, job: JobProcess, script: list[str], problem: str, lines: str | None
):
    """The start ends with the step's label and last lines, in the history and in the job's output; no server ran."""
    await launched(hub, job, step(*script), step("touch $FAKE_RECORD/next"))

    assert await job.ended() == 1
    assert hub.codes == ["lab_starting", "lab_step", "lab_step_failed"]
    failed = said(hub, "lab_step_failed")[0]
    assert failed.text == f"Checking: {problem}"
    assert lines in {failed.details, None}
    assert job.stderr.endswith(f"jupyter-jsc: failed: Checking: {problem}\n")
    assert not {"record.json", "next"} & {path.name for path in job.directory.iterdir()}


async def test_optional_step_that_fails(hub: FakeHub, job: JobProcess):
    """The lab starts with a warning that has the last lines, in the environment from before."""
    env = await running(hub, job, step("export A=1"), step("export A=2", "echo no licence; exit 1", required=False))

    warning = said(hub, "lab_step_warning")[0]
    assert (warning.text, warning.details) == ("Checking: failed with code 1; the lab starts without it", "no licence")
    assert env["A"] == "1"
    assert hub.codes[-1] == "lab_listening"


@pytest.mark.parametrize(
    "script",
    [
        ["export A=2; exit 0"],
        ["set -e; export A=2; true"],
        ["export A=2; (exit 3); true"],
        ["export A=2", "return 2>/dev/null; :"],
    ],
    ids=["exit", "set-e", "sub-shell", "return"],
)
async def test_environment_of_scripts_that_leave_early(hub: FakeHub, job: JobProcess, script: list[str]):
    """However a script leaves with success, what it has exported counts."""
    assert (await running(hub, job, step(*script)))["A"] == "2"


@pytest.mark.parametrize(
    "script", [["exec true"], ["trap - EXIT"], ["trap 'exit 0' EXIT"]], ids=["exec", "no-trap", "other-trap"]
)
async def test_environment_that_is_not_told_stays(hub: FakeHub, job: JobProcess, script: list[str]):
    """A step that succeeds but does not say its environment leaves it as it was, and the output says so."""
    env = await running(hub, job, step("export A=1"), step("export A=2", *script))

    assert env["A"] == "1"
    assert "step hook.a.b: it did not say its environment" in job.stderr


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["ends", "ignores-SIGTERM"])
async def test_time_limit(hub: FakeHub, job: JobProcess, trap: str):
    """A step that hangs counts as failed, and nothing of it is left."""
    script = f"{trap}echo waiting; echo $$ > $FAKE_RECORD/pid; while true; do sleep 60; done"
    await launched(hub, job, step(script, timeout_s=0.3))

    assert await job.ended() == 1
    failed = said(hub, "lab_step_failed")[0]
    assert (failed.text, failed.details) == ("Checking: not done after 0.3 s", "waiting")
    assert not alive(int((job.directory / "pid").read_text("ascii")))


async def test_a_step_has_no_input(hub: FakeHub, job: JobProcess):
    """A script that asks something gets no answer instead of waiting for one."""
    env = await running(hub, job, step('read -r ANSWER || export ANSWER="none"'))

    assert env["ANSWER"] == "none"


async def test_huge_output(hub: FakeHub, job: JobProcess):
    """Of much output the last lines are told, at most 8 KiB, and the job's own output stays small."""
    await launched(hub, job, step("seq 1 3000000", "echo '\u20ac the end'", "false"))

    assert await job.ended() == 1
    details = said(hub, "lab_step_failed")[0].details
    assert details.endswith("3000000\n\u20ac the end")
    assert len(details.encode()) <= prepare.TAIL_BYTES
    assert details[:4].strip().isdecimal()
    assert (job.directory / "stderr").stat().st_size < 2 * prepare.PASSED_BYTES
    assert "\u20ac the end" in job.stderr


async def test_output_goes_to_the_job_as_well(hub: FakeHub, job: JobProcess):
    """What a step that succeeds says stands in the lab's log only."""
    await running(hub, job, step("echo all is well"))

    assert "jupyter-jsc: step hook.a.b: Checking\nall is well\n" in job.stderr
    assert "all is well" not in str(hub.posts)


async def test_background_process_is_not_waited_for(hub: FakeHub, job: JobProcess):
    """What a step leaves in the background lives with the lab, may go on writing, and ends with the lab."""
    daemon = "(echo $BASHPID > $FAKE_RECORD/pid; while ! test -e $FAKE_RECORD/go; do sleep 0.01; done; echo still here; sleep 600) &"
    await running(hub, job, step(daemon, "export A=1"))
    pid = int((job.directory / "pid").read_text("ascii"))
    (job.directory / "go").touch()
    await job.until(lambda: "still here" in job.stderr)

    assert (alive(pid), job.record["env"]["A"]) == (True, "1")
    assert await job.terminate() == 128 + signal.SIGTERM
    await job.until(lambda: not alive(pid))


async def test_background_process_that_floods(hub: FakeHub, job: JobProcess):
    """Somebody who never stops writing does not hold up the start."""
    await launched(hub, job, step("yes & echo $! > $FAKE_RECORD/pid", "false"))

    assert await job.ended() == 1
    pid = int((job.directory / "pid").read_text("ascii"))
    await job.until(lambda: not alive(pid))


async def test_daemon_in_its_own_session(hub: FakeHub, job: JobProcess):
    """A process that has left the step's session and holds its output open is not waited for either."""
    await running(hub, job, step("setsid sleep 600 & echo $! > $FAKE_RECORD/pid"))
    os.kill(int((job.directory / "pid").read_text("ascii")), signal.SIGKILL)

    assert await job.terminate() == 128 + signal.SIGTERM


async def test_step_that_kills_the_launcher(hub: FakeHub, job: JobProcess):
    """A launcher that is killed takes the process of the step along."""
    await launched(hub, job, step("echo $$ > $FAKE_RECORD/pid", "kill -9 $PPID", "exec sleep 600"))

    assert await job.ended() == -signal.SIGKILL
    pid = int((job.directory / "pid").read_text("ascii"))
    await job.until(lambda: not alive(pid))


async def test_step_that_terminates_the_launcher(hub: FakeHub, job: JobProcess):
    """SIGTERM from a step is like SIGTERM from anybody."""
    await launched(hub, job, step("kill $PPID", "sleep 600"))

    assert await job.ended() == 128 + signal.SIGTERM
    assert hub.codes == ["lab_starting", "lab_step"]


async def test_sigterm_during_a_step(hub: FakeHub, job: JobProcess):
    """A start that is cancelled during a step ends at once, with the step and all its children; there was no server."""
    await launched(hub, job, step("sleep 600 & echo $! $$ > $FAKE_RECORD/new; mv $FAKE_RECORD/{new,pids}; wait"))
    await job.until((job.directory / "pids").exists)
    pids = [int(pid) for pid in (job.directory / "pids").read_text("ascii").split()]

    assert await job.terminate() == 128 + signal.SIGTERM
    await job.until(lambda: not any(alive(pid) for pid in pids))
    assert not (job.directory / "record.json").exists()


async def test_wall_time_during_a_step(hub: FakeHub, job: JobProcess):
    """The job's time limit ends a step as it ends a lab."""
    await launched(hub, job, step("sleep 600"), runtime_s=1)

    assert await job.ended() == 0
    assert hub.codes == ["lab_starting", "lab_step", "lab_ending"]


async def test_step_that_cannot_be_run(hub: FakeHub, job: JobProcess):
    """A script that is too long for the system fails as any other does."""
    await launched(hub, job, step("# " + "x" * 300_000))

    assert await job.ended() == 1
    assert said(hub, "lab_step_failed")[0].text.startswith("Checking: cannot be run (")


async def test_refused_event_does_not_stop_a_step(hub: FakeHub, job: JobProcess):
    """Events are news: a hub that wants none of them gets its lab all the same."""
    hub.script["events"] = [403] * 10

    assert (await running(hub, job, step("export A=1")))["A"] == "1"


async def test_failed_step_does_not_wait_for_the_hub_for_ever(hub: FakeHub, job: JobProcess):
    """A hub that is away when a start fails does not hold the node."""
    hub.script["events"] = [204, 204, *[503] * 1000]
    write_job(job.directory, hub.url, steps=[step("exit 1")])
    await job.launch("-c", "import prepare; prepare.LAST_WORDS_S = 0; import launcher, sys; sys.exit(launcher.main())")

    assert await job.ended() == 1
    assert "event lab_step_failed: The portal does not answer." in job.stderr


@pytest.mark.parametrize("kind", ["absent", "directory"])
async def test_users_script_that_is_not_there(hub: FakeHub, job: JobProcess, kind: str):
    """Without a file there is no step, no event and no process."""
    if kind == "directory":
        (Path(job.env["HOME"]) / ".jupyter" / "start_lab.sh").mkdir(parents=True)
    await running(hub, job, user_hook())

    assert hub.codes == ["lab_starting", "lab_listening"]


@pytest.mark.parametrize(("text", "a"), [("export A=2\n", "2"), ("export A=2\nexit 1\n", None)], ids=["good", "bad"])
async def test_users_script(hub: FakeHub, job: JobProcess, text: str, a: str | None):
    """It need not be executable; its exports reach the server; a bad one gives a warning."""
    script = Path(job.env["HOME"]) / ".jupyter" / "start_lab.sh"
    script.parent.mkdir()
    script.write_text(text, "utf-8")
    script.chmod(0o600)
    env = await running(hub, job, user_hook())

    assert env.get("A") == a
    assert [a is None] == [bool(said(hub, "lab_step_warning"))]


async def test_module_of_the_sites_environment(hub: FakeHub, job: JobProcess):
    """``module`` is the function that the job inherits, also where it comes by BASH_ENV."""
    profile = job.directory / "profile.sh"
    profile.write_text('module() { export LOADED="$LOADED $*"; }\n', "utf-8")
    write_job(job.directory, hub.url, steps=[step("module load A/1 B"), step("module load C")])
    await job.launch(BASH_ENV=str(profile))
    await hub.until(lambda: hub.started)
    await job.until((job.directory / "record.json").exists)

    assert job.record["env"]["LOADED"] == " load A/1 B load C"


async def test_module_that_is_not_known(hub: FakeHub, job: JobProcess):
    """Where the machine has no modules, loading one fails with a line that says so."""
    await launched(hub, job, step("module load Jupyter"))

    assert await job.ended() == 1
    assert "module: command not found" in said(hub, "lab_step_failed")[0].details


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="=\0"), min_size=1)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.dictionaries(NAMES, VALUES, min_size=1))
def test_any_environment_is_read(env: dict[str, str]):
    """What ``env -0`` writes is what was there; without its end it is nothing."""
    report = b"".join(f"{name}={value}\0".encode() for name, value in env.items())

    assert env == prepare.parse_environment(report + b"\0")
    assert prepare.parse_environment(report) is None


@given(st.binary(max_size=20_000))
def test_any_output_becomes_an_event(output: bytes):
    """Whatever a step says, its last lines are text that the hub accepts."""
    lines = prepare.last_lines(output[-prepare.TAIL_BYTES :], ["secret"])

    assert len(lines.encode()) <= prepare.TAIL_BYTES
    assert wire.Event(code=prepare.STEP_FAILED, details=lines).details == lines
    assert not {character for character in lines if not character.isprintable()} - {"\n", "\t"}
