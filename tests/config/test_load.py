# SPDX-License-Identifier: BSD-3-Clause
"""A folder → a configuration, or everything that is wrong with it: exact words, places, nothing twice, nothing hidden."""

from pathlib import Path

import pytest

from jupyter_jsc.config import load, model
from jupyter_jsc.config.mistakes import ConfigurationRefused, Mistake
from tests.config import full

JUWELS = "systems/juwels.yaml"
KEY = "letters, digits and any of _ . - behind the first one"
TIME = "a time with its zone, e.g. 2026-03-01T08:00:00+01:00"
SERVICE = "a mapping with url, ca_file, timeout_s"


def test_the_full_configuration_is_loaded() -> None:
    """What is right is loaded, merged from all files."""
    configuration = load.load(full.FOLDER)
    assert list(configuration.systems) == ["cloud", "jureca", "juwels"]
    assert set(configuration.groups) == {"everybody", "quantum", "course"}
    assert set(configuration.software["kernels"].items) == {"pyquantum", "r"}


@pytest.mark.parametrize("name", sorted(model.Configuration.model_fields))
def test_the_full_configuration_sets_every_part(name: str) -> None:
    """Tests that derive from it miss no part."""
    assert name in load.load(full.FOLDER).model_fields_set


MESSAGES = {
    "missing": (
        "portal.yaml",
        "hub: portal\n",
        "",
        [f".: hub: `hub` is missing. Allowed: {KEY}."],
    ),
    "missing inside": (
        "portal.yaml",
        "    url: https://k8smgr.cloud.example\n",
        "",
        [
            "portal.yaml:24: managers.k8smgr.url: `url` is missing. "
            "Allowed: an address that begins with http:// or https://."
        ],
    ),
    "unknown key": (
        "portal.yaml",
        "timeout_s: 20",
        "timeout: 20",
        [
            "portal.yaml:23: managers.unicoremgr.timeout: There is no key `timeout` here. "
            "Allowed: url, ca_file, timeout_s. Did you mean timeout_s?"
        ],
    ),
    "empty": ("portal.yaml", "hub: portal", "hub:", [f"portal.yaml:2: hub: There is no value. Allowed: {KEY}."]),
    "text": (
        "portal.yaml",
        "support: support@centre.example",
        "support: 4.6",
        ["portal.yaml:3: support: `4.6` is a number, not a text; put it in quotes. Allowed: a text."],
    ),
    "truth value as text": (
        "portal.yaml",
        "support: support@centre.example",
        "support: no",
        ["portal.yaml:3: support: `false` is a truth value, not a text; put it in quotes. Allowed: a text."],
    ),
    "mapping as text": (
        "portal.yaml",
        "support: support@centre.example",
        "support: {a: b}",
        ["portal.yaml:3: support: A mapping does not fit. Allowed: a text."],
    ),
    "text in languages": (
        JUWELS,
        "        - contains: Requested node configuration is not available\n"
        "          text: There are no such nodes in this partition.",
        "        - contains: Requested node configuration is not available\n          text: 5",
        [
            "systems/juwels.yaml:20: systems.juwels.unicore.messages[1].text: `5` does not fit. "
            "Allowed: a text, or texts under `en` and `de`."
        ],
    ),
    "whole number": (
        JUWELS,
        "port: 2222",
        "port: '2222'",
        [
            "systems/juwels.yaml:29: systems.juwels.jump_hosts.juwels02.port: `2222` does not fit. "
            "Allowed: a whole number from 1 to 65535."
        ],
    ),
    "truth value as number": (
        "portal.yaml",
        "max_labs_per_user: 10",
        "max_labs_per_user: yes",
        ["portal.yaml:32: max_labs_per_user: `true` does not fit. Allowed: a whole number, at least 0."],
    ),
    "number too large": (
        "portal.yaml",
        "timeout_s: 30.5",
        "timeout_s: 301",
        ["portal.yaml:26: managers.k8smgr.timeout_s: `301` does not fit. Allowed: a number, above 0 and at most 300."],
    ),
    "enum": (
        JUWELS,
        "state: draining",
        "state: drained",
        [
            "systems/juwels.yaml:33: systems.juwels.jump_hosts.juwels02.state: `drained` does not fit. "
            "Allowed: open, draining, closed. Did you mean draining?"
        ],
    ),
    "truth value": (
        JUWELS,
        "notifications: true",
        "notifications: sometimes",
        [
            "systems/juwels.yaml:13: systems.juwels.unicore.notifications: `sometimes` does not fit. "
            "Allowed: true or false."
        ],
    ),
    "address": (
        "portal.yaml",
        "http://127.0.0.1:8002",
        "127.0.0.1:8002",
        [
            "portal.yaml:29: tunnelmgr.url: `127.0.0.1:8002` does not fit. "
            "Allowed: an address that begins with http:// or https://."
        ],
    ),
    "password in an address": (
        "portal.yaml",
        "http://127.0.0.1:8002",
        "ftp://me:hunter2@127.0.0.1:8002",
        [
            "portal.yaml:29: tunnelmgr.url: `ftp://…@127.0.0.1:8002` does not fit. "
            "Allowed: an address that begins with http:// or https://."
        ],
    ),
    "section": (
        "portal.yaml",
        "  url: http://127.0.0.1:8002\n  timeout_s: 10",
        "  [a, b]",
        [f"portal.yaml:28: tunnelmgr: A list does not fit. Allowed: {SERVICE}."],
    ),
    "empty list": (
        JUWELS,
        'lab_hosts: ["jwc*", "jwlogin*", 10.11.0.0/16]',
        "lab_hosts: []",
        [
            "systems/juwels.yaml:34: systems.juwels.lab_hosts: A list must not be empty. Allowed: a list with at least one item."
        ],
    ),
    "key": (
        "portal.yaml",
        "  k8smgr:",
        "  ? k8s mgr\n  :",
        [
            f"portal.yaml:24: managers.k8s mgr: The key `k8s mgr` does not fit. Allowed: {KEY}.",
            "systems/cloud.yaml:9: systems.cloud.manager: `k8smgr` is none of the managers. "
            "Allowed: unicoremgr, k8s mgr. Did you mean k8s mgr?",
        ],
    ),
    "too short": (
        JUWELS,
        "contains: Invalid account",
        "contains: X",
        [
            "systems/juwels.yaml:15: systems.juwels.unicore.messages[0].contains: `X` is too short. "
            "Allowed: a text of at least 3 characters."
        ],
    ),
    "too long": (
        "portal.yaml",
        "hub: portal",
        "hub: " + "x" * 101,
        [f"portal.yaml:2: hub: `{'x' * 59}…` is too long. Allowed: {KEY}."],
    ),
    "time without zone": (
        "notices.yaml",
        "2026-01-10T08:00:00+01:00",
        "2026-01-10 08:00:00",
        [f"notices.yaml:6: announcements.stage-2026.begins: `2026-01-10 08:00:00` has no time zone. Allowed: {TIME}."],
    ),
    "date": (
        "notices.yaml",
        "2026-01-10T08:00:00+01:00",
        "2026-01-10",
        [f"notices.yaml:6: announcements.stage-2026.begins: `2026-01-10` does not fit. Allowed: {TIME}."],
    ),
    "neither of two kinds": (
        "options.yaml",
        "default: [quantum]",
        "default: maybe",
        [
            "options.yaml:58: software.kernels.items.pyquantum.default: `maybe` does not fit. "
            "Allowed: true or false or a list."
        ],
    ),
    "the nearer of two kinds": (
        "options.yaml",
        "default: [quantum]",
        "default: [quantum, 5]",
        [
            "options.yaml:58: software.kernels.items.pyquantum.default[1]: `5` is a number, not a text; "
            f"put it in quotes. Allowed: {KEY}."
        ],
    ),
    "section as a whole": (
        "notices.yaml",
        "ends: 2026-02-10T08:00:00+01:00",
        "ends: 2026-01-09T08:00:00+01:00",
        [
            "notices.yaml:2: announcements.stage-2026: "
            "Begins 2026-01-10T08:00:00+01:00 is not before ends 2026-01-09T08:00:00+01:00."
        ],
    ),
    "in every use of an anchor once": (
        JUWELS,
        "default: 60",
        "default: 55",
        [
            "systems/juwels.yaml:61: systems.juwels.partitions.batch.resources.runtime: "
            "Default 55 is not minimum 10 plus whole steps of 10."
        ],
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "said"), MESSAGES.values(), ids=MESSAGES)
def test_a_mistake_is_said_plainly(tmp_path: Path, file: str, old: str, new: str, said: list[str]) -> None:
    """File, line, path, what is wrong, what is allowed, what was probably meant."""
    assert said == [str(mistake) for mistake in full.refused(full.copy(tmp_path, (file, old, new)))]


def test_a_mistake_carries_its_parts(tmp_path: Path) -> None:
    """Programs read the parts one by one."""
    found = full.refused(full.copy(tmp_path, (JUWELS, "state: draining", "state: drained")))
    path = "systems.juwels.jump_hosts.juwels02.state"
    assert found == (
        Mistake(JUWELS, 33, path, "`drained` does not fit.", "drained", "open, draining, closed", "draining"),
    )


TEN = [
    ("portal.yaml", "support:", "suport:"),
    ("portal.yaml", "timeout_s: 30.5", "timeout_s: soon"),
    ("portal.yaml", "history_days: 60", "history_days: 60\n  history_days: 30"),
    (JUWELS, "manager: unicoremgr", "manager: unicoremanager"),
    (JUWELS, "      devel:\n        queue: devel", "      devel:\n        kind: devel"),
    ("systems/cloud.yaml", "kind: kubernetes", "kind: unicore"),
    ("groups.yaml", "weight: 10", "weight: 5\n    exclusive: true"),
    ("options.yaml", "order: 1\n    default: true", "order: 1\n    default: true\n    deprecated: Soon gone."),
    ("notices.yaml", "2026-03-03T06:00:00Z", "2026-03-03T06:00:00"),
    ("jobs.yaml", "required: false", "required: false\n\twhen: never"),
]


def test_ten_planted_mistakes_are_named_in_one_run(tmp_path: Path) -> None:
    """Of whatever kind: broken YAML, doubled keys, wrong types, references, contradictions."""
    found = full.refused(full.copy(tmp_path, *TEN))
    assert [(mistake.file, mistake.line, mistake.path) for mistake in found] == [
        ("groups.yaml", 35, "groups.course.weight"),
        ("jobs.yaml", 23, ""),
        ("notices.yaml", 17, "maintenance.juwels-spring.begins"),
        ("options.yaml", 8, "options.jupyterlab-4.6.default"),
        ("portal.yaml", 3, "suport"),
        ("portal.yaml", 26, "managers.k8smgr.timeout_s"),
        ("portal.yaml", 40, "retention.history_days"),
        ("systems/cloud.yaml", 2, "systems.cloud"),
        ("systems/juwels.yaml", 8, "systems.juwels.manager"),
        ("systems/juwels.yaml", 69, "systems.juwels.partitions.devel.kind"),
    ]


def test_what_a_section_says_is_not_hidden_by_what_is_in_it(tmp_path: Path) -> None:
    """Both the system as a whole and a port in it are wrong."""
    edits = [(JUWELS, "port: 2222", "port: 0"), (JUWELS, "kind: unicore", "kind: kubernetes")]
    paths = [mistake.path for mistake in full.refused(full.copy(tmp_path, *edits))]
    assert paths == ["reservations.course-2026-05.system", "systems.juwels", "systems.juwels.jump_hosts.juwels02.port"]


def test_what_only_follows_from_another_mistake_is_not_said(tmp_path: Path) -> None:
    """A rule whose only criterion is wrong is not said to have none."""
    edit = ("groups.yaml", 'patterns: ["*@course.example"]\n        identity_providers: [federation]', "patterns: 5")
    assert [mistake.path for mistake in full.refused(full.copy(tmp_path, edit))] == [
        "groups.course.members[0].patterns"
    ]


def test_what_stands_in_a_broken_file_is_not_missed(tmp_path: Path) -> None:
    """References into a file that cannot be read are not broken ones, but those to nowhere are."""
    edits = [("portal.yaml", "hub: portal", "hub: [portal"), (JUWELS, "manager: unicoremgr", "manager: nobody")]
    found = full.refused(full.copy(tmp_path, *edits))
    assert [(mistake.file, mistake.path) for mistake in found] == [("portal.yaml", "")]
    edits = [("jobs.yaml", "jobs:", "jobs: ["), (JUWELS, "manager: unicoremgr", "manager: nobody")]
    found = full.refused(full.copy(tmp_path / "other", *edits))
    assert [(mistake.file, mistake.path) for mistake in found] == [
        ("jobs.yaml", ""),
        (JUWELS, "systems.juwels.manager"),
    ]


def test_secrets_are_never_said(tmp_path: Path) -> None:
    """Whatever stands under a key with such a name."""
    edit = ("portal.yaml", "hub: portal", "hub: portal\nmail_password: hunter2\nlab: {token: {secret: hunter2}}")
    with pytest.raises(ConfigurationRefused) as caught:
        load.load(full.copy(tmp_path, edit, ("portal.yaml", "lab:\n", "lab_:\n")))
    assert "hunter2" not in caught.value.message
    assert "hunter2" not in str(caught.value.mistakes)


def test_very_many_mistakes_end_with_their_number(tmp_path: Path) -> None:
    """A wrong tree does not flood the screen, and takes no long time."""
    (tmp_path / "a.yaml").write_text("".join(f"k{number}: 1\n" for number in range(5000)))
    found = full.refused(tmp_path)
    assert len(found) == 501
    assert found[-1].message == "There are 4506 more mistakes; mend these first."
