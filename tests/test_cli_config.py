# SPDX-License-Identifier: BSD-3-Clause
"""The operators' commands: what they print, with which exit code, and never a traceback."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import Result
from typer.testing import CliRunner

from jupyter_jsc import cli, configsync
from jupyter_jsc.config import schema
from jupyter_jsc.demo.people import PEOPLE
from tests.config import full
from tests.config.git import Git

EXAMPLE = Path(__file__).parents[1] / "examples/config"

TEN: tuple[tuple[str, str, str, str], ...] = (
    ("portal.yaml", "timeout_s: 20", "timeout: 20", "managers.unicoremgr.timeout"),
    ("portal.yaml", "history_days: 60", "history_days: sixty", "retention.history_days"),
    ("systems/juwels.yaml", "manager: unicoremgr", "manager: unicormgr", "systems.juwels.manager"),
    (
        "systems/juwels.yaml",
        "default_partitions: [login]",
        "default_partitions: [logn]",
        "systems.juwels.default_partitions[0]",
    ),
    ("systems/juwels.yaml", "state: draining", "state: closing", "systems.juwels.jump_hosts.juwels02.state"),
    ("options.yaml", "groups: [quantum]", "groups: [quantums]", "options.quantum.groups[0]"),
    ("groups.yaml", "maximum: 2048", "maximum: 0", "groups.quantum.ranges[0]"),
    ("groups.yaml", "weight: 5", "weight: heavy", "groups.course.weight"),
    ("notices.yaml", "begins: 2026-12-01T06:00:00Z", "begins: 2026-12-01", "maintenance.cloud-move.begins"),
    ("reservations.yaml", "system: jureca", "system: jurca", "reservations.benchmark.system"),
)
"""Ten mistakes of ten kinds of hands: file, right, wrong, and the path that is to be named."""


def run(*arguments: str | Path) -> Result:
    """Run a command as in a terminal of 100 columns that is none."""
    result = CliRunner().invoke(cli.app, ["config", *map(str, arguments)], env={"COLUMNS": "100", "NO_COLOR": "1"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    return result


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with the ten mistakes."""
    return full.copy(tmp_path / "planted", *(edit[:3] for edit in TEN))


@pytest.mark.parametrize("folder", [EXAMPLE, full.FOLDER], ids=["example", "full"])
def test_check_says_nothing_if_all_is_right(folder: Path) -> None:
    """So it can stand in a pipeline or a hook."""
    result = run("check", folder)
    assert (result.exit_code, result.output) == (0, "")


def test_check_names_ten_planted_mistakes_in_one_run(planted: Path) -> None:
    """Nobody mends one mistake to meet the next."""
    result = run("check", planted)
    assert result.exit_code == 1
    for file, _, wrong, path in TEN:
        line = 1 + next(n for n, text in enumerate((planted / file).read_text().splitlines()) if wrong in text)
        assert re.search(rf"^{re.escape(file)}:{line}  {re.escape(path)}$", result.output, re.MULTILINE), path
    assert "10 mistakes." in result.output


def test_check_says_what_is_allowed_and_what_was_meant(planted: Path) -> None:
    """Each mistake says how it is mended."""
    said = run("check", planted).output
    assert "allowed:  unicoremgr, k8smgr" in said
    assert "perhaps:  unicoremgr" in said
    assert "value:    closing" in said


def test_check_as_json_has_every_part_of_each_mistake(planted: Path) -> None:
    """A program reads file, line, path, value, what is allowed and a suggestion."""
    result = run("check", planted, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {each["path"] for each in found} == {path for *_, path in TEN}
    (one,) = [each for each in found if each["path"] == "systems.juwels.manager"]
    assert one == {
        "file": "systems/juwels.yaml",
        "line": one["line"],
        "path": "systems.juwels.manager",
        "message": "`unicormgr` is none of the managers.",
        "value": "unicormgr",
        "allowed": "unicoremgr, k8smgr",
        "suggestion": "unicoremgr",
    }


def test_check_as_json_of_what_is_right_is_an_empty_list() -> None:
    """A program reads a list in any case."""
    result = run("check", full.FOLDER, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def user_file(folder: Path, content: object) -> Path:
    path = folder / "user.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def usage(tmp_path: Path) -> Mapping[str, tuple[str | Path, ...]]:
    nowhere = tmp_path / "nowhere"
    return {
        "check nothing": ("check",),
        "check nowhere": ("check", nowhere),
        "check a file": ("check", EXAMPLE / "groups.yaml"),
        "check too much": ("check", EXAMPLE, EXAMPLE),
        "diff one": ("diff", EXAMPLE),
        "diff nowhere": ("diff", EXAMPLE, nowhere),
        "show nobody": ("show", EXAMPLE),
        "show no file": ("show", EXAMPLE, "--as", nowhere),
        "show in a third language": ("show", EXAMPLE, "--as", EXAMPLE / "groups.yaml", "--language", "fr"),
        "schema into nowhere": ("schema", "--out", nowhere / "schema.json"),
        "sync nothing": ("sync",),
        "sync at once": ("sync", "--repo", nowhere, "--into", tmp_path, "--interval", "0"),
        "sync without port": ("sync", "--repo", nowhere, "--into", tmp_path, "--listen", "127.0.0.1"),
        "sync with a wrong port": ("sync", "--repo", nowhere, "--into", tmp_path, "--listen", "127.0.0.1:99999"),
        "sync with no such key": ("sync", "--repo", nowhere, "--into", tmp_path, "--ssh-key", nowhere),
        "sync by another protocol": ("sync", "--once", "--repo", "http://a.example/b.git", "--into", tmp_path),
        "sync a password": ("sync", "--once", "--repo", "https://u:secret@a.example/b.git", "--into", tmp_path),
        "sync a strange branch": ("sync", "--once", "--repo", nowhere, "--branch", "--all", "--into", tmp_path),
        "sync nowhere": ("sync", "--once", "--repo", nowhere, "--into", tmp_path),
        "unknown": ("chekc", EXAMPLE),
    }


@pytest.mark.parametrize("name", sorted(usage(Path())))
def test_what_cannot_be_done_ends_with_a_sentence(tmp_path: Path, name: str) -> None:
    """Exit code 2, words, and no secret in them."""
    result = run(*usage(tmp_path)[name])
    assert result.exit_code == 2
    assert result.output.strip()
    assert "secret" not in result.output


def test_diff_says_what_changes_for_whom(tmp_path: Path) -> None:
    """Sentences, first for everybody, then for each group."""
    after = full.copy(
        tmp_path / "after",
        ("portal.yaml", "max_labs_per_user: 10", "max_labs_per_user: 8"),
        ("groups.yaml", "maximum: 2048", "maximum: 4096"),
    )
    result = run("diff", full.FOLDER, after)
    words = " ".join(result.output.split())
    assert result.exit_code == 0
    assert words.startswith("For everybody the portal allows 8 labs per user at once instead of 10 labs.")
    assert "For the group quantum group quantum: may choose 1 to 4096 nodes" in words


def test_diff_as_json(tmp_path: Path) -> None:
    """A program reads scope, path, both values and the sentence."""
    after = full.copy(tmp_path / "after", ("portal.yaml", "max_labs_per_user: 10", "max_labs_per_user: 8"))
    (change,) = json.loads(run("diff", full.FOLDER, after, "--json").stdout)
    assert (change["scope"], change["path"], change["before"], change["after"]) == ("", "max_labs_per_user", 10, 8)


def test_diff_of_the_same_says_so() -> None:
    """Silence could be taken for a failure."""
    assert run("diff", EXAMPLE, EXAMPLE).output == "Nothing changes.\n"


@pytest.mark.parametrize("place", [0, 1], ids=["before", "after"])
def test_diff_with_mistakes_names_them(planted: Path, place: int) -> None:
    """What cannot be in force is not compared; the mistakes say in which of the folders they are."""
    folders = [EXAMPLE, EXAMPLE]
    folders[place] = planted
    result = run("diff", *folders)
    assert result.exit_code == 1
    assert f"{planted}/portal.yaml:" in result.stderr.replace("\n", "")
    assert "10 mistakes." in result.stderr


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_show_knows_everybody_of_the_demo(tmp_path: Path, person: Any, language: str) -> None:
    """What is shown for people is what the JSON has; whoever the user is, something is said."""
    path = user_file(
        tmp_path,
        {
            "user": person.name,
            "accounts": list(person.accounts),
            "entitlements": [*person.entitlements, *person.groups],
            "authenticator": f"[{person.idp}.password]",
        },
    )
    said = run("show", EXAMPLE, "--as", path, "--language", language)
    found = json.loads(run("show", EXAMPLE, "--as", path, "--language", language, "--json").stdout)
    assert said.exit_code == 0
    assert found["user"] == person.name
    for group in found["member_of"]:
        assert f"── group {group}:" in said.output
    for system in found["offered"]["systems"].values():
        assert re.search(rf"^[├└]── {re.escape(system['label'])}$", said.output, re.MULTILINE)
    assert ("Not offered" in said.output) == bool(found["missing"])


def test_show_says_why_not_the_rest(tmp_path: Path) -> None:
    """A participant of the course sees why there is only the reservation."""
    carla = next(person for person in PEOPLE if person.name == "carla")
    path = user_file(
        tmp_path,
        {
            "user": "carla",
            "accounts": list(carla.accounts),
            "entitlements": list(carla.entitlements),
            "authenticator": "[aai]",
        },
    )
    said = run("show", EXAMPLE, "--as", path).output
    assert "not in group everybody: the exclusive group course-hpc-python takes its place" in said
    assert "reservation hpc-python for training2620 (one must be chosen)" in said
    assert "1 to 1 nodes (at first 1); 10 to 120 min runtime (at first 120)" in said
    assert "JupyterLab 4.4: Not among the options of course-hpc-python." in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "user.json:1"),
        ("[]", "must be a mapping"),
        ({}, "`user` is missing"),
        ({"user": ""}, "user"),
        ({"user": "a", "acounts": []}, "perhaps:  accounts"),
        ({"user": "a", "accounts": "x,y,z,w"}, "a list"),
        ({"user": "a", "admin": "yes"}, "true or false"),
        ("\udcff\x00", "user.json"),
    ],
    ids=["cut", "list", "nobody", "empty", "typo", "one account", "admin", "binary"],
)
def test_show_names_what_is_wrong_with_the_user(tmp_path: Path, content: object, said: str) -> None:
    """The file of the user is checked like the configuration."""
    path = tmp_path / "user.json"
    path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode("utf-8", "surrogateescape"))
    result = run("show", EXAMPLE, "--as", path)
    assert result.exit_code == 1
    assert said in result.output


def test_show_says_which_entries_give_no_rights(tmp_path: Path) -> None:
    """An entry with a slip, and a group that is not the user's, are told."""
    path = user_file(tmp_path, {"user": "a", "accounts": ["x,juwels,[red]"], "group": "course"})
    said = run("show", full.FOLDER, "--as", path).output
    assert "no account entry, gives no rights: 'x,juwels,[red]'" in said
    assert "does not act in the group 'course': is no member of it" in said


def test_schema_is_printed_and_written(tmp_path: Path) -> None:
    """Both are the whole schema."""
    path = tmp_path / "schema.json"
    assert run("schema").stdout == schema.document()
    assert run("schema", "--out", path).output == ""
    assert path.read_text("utf-8") == schema.document()
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text("utf-8")))


def commit(repository: Git, folder: Path) -> str:
    for path in folder.rglob("*.yaml"):
        repository.write(str(path.relative_to(folder)), path.read_bytes())
    return repository.commit()


def test_sync_publishes_and_refuses(tmp_path: Path, planted: Path) -> None:
    """A good commit is in force; of a bad one everything wrong is named, and the good one stays."""
    repository, into = Git(tmp_path / "repository"), tmp_path / "published"
    good = commit(repository, full.FOLDER)
    arguments = ("sync", "--once", "--repo", repository.folder, "--into", into)
    assert run(*arguments).exit_code == 0
    assert (into / "current").resolve().name == good

    commit(repository, planted)
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "10 mistakes." in refused.stderr
    assert (into / "current").resolve().name == good
    assert run("diff", into / "current", full.FOLDER).output == "Nothing changes.\n"


def test_sync_has_an_option_for_each_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given on the command line is what the process uses."""
    given: list[configsync.SyncSettings] = []

    async def keep(settings: configsync.SyncSettings) -> None:
        given.append(settings)

    monkeypatch.setattr(configsync, "run", keep)
    files = {
        name: tmp_path / name for name in ("webhook-secret", "callers", "ssh-key", "known-hosts", "credentials", "ca")
    }
    for path in files.values():
        path.write_text("")
    options = [word for name, path in files.items() for word in (f"--{name}{'-file' if name == 'ca' else ''}", path)]
    wanted = {
        "--repo": "git@a.example:b",
        "--branch": "live",
        "--into": tmp_path,
        "--interval": 5,
        "--listen": "[::1]:8005",
    }
    run("sync", "--once", *(str(word) for pair in wanted.items() for word in pair), *options)

    (settings,) = given
    assert settings.model_fields_set == set(configsync.SyncSettings.model_fields)
    assert settings == configsync.SyncSettings(
        repo="git@a.example:b",
        branch="live",
        into=tmp_path,
        once=True,
        interval_s=5,
        host="::1",
        port=8005,
        webhook_secret_file=files["webhook-secret"],
        callers_file=files["callers"],
        ssh_key_file=files["ssh-key"],
        known_hosts_file=files["known-hosts"],
        credentials_file=files["credentials"],
        ca_file=files["ca"],
    )


@pytest.mark.parametrize("command", ["check", "diff", "show", "schema", "sync"])
def test_help_says_what_a_command_is_for(command: str) -> None:
    """An operator needs no page to begin."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert len(result.output) > 200
