# SPDX-License-Identifier: BSD-3-Clause
"""What stands around pages: who reads which announcement, which groups can be chosen, why there is nothing to start."""

from datetime import timedelta

import pytest

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.notices import Announcement
from jupyter_jsc.hub import notices
from jupyter_jsc.hub.words import Said
from jupyter_jsc.rights.identity import Account, Facts, Identity
from jupyter_jsc.rights.options import options_for
from tests.hub.offer import CONFIGURATION, NOW, tree

ALICE, NORA, OTTO = Identity("alice"), Identity("nora"), Identity("otto")


def titles(identity, language="en", now=NOW):
    """The titles that somebody reads."""
    return [notice.title.text for notice in notices.frame(identity, CONFIGURATION, language, now).notices]


@pytest.mark.parametrize(
    ("identity", "read"),
    [(None, ["There is news"]), (OTTO, ["There is news"]), (ALICE, ["Hello friends", "There is news"])],
    ids=["nobody", "other", "member"],
)
def test_announcements_are_for_groups_or_for_everybody(identity, read):
    """What weighs most comes first; who is not logged in reads what is for everybody."""
    assert read == titles(identity)


@pytest.mark.parametrize(("begins", "ends", "shown"), [(-1, 1, True), (1, 2, False), (-2, -1, False), (0, 1, True)])
def test_announcements_have_times(begins, ends, shown):
    """From the minute when it begins to the one when it ends."""
    item = Announcement(title="t", begins=NOW + timedelta(hours=begins), ends=NOW + timedelta(hours=ends))
    configuration = CONFIGURATION.model_copy(update={"announcements": {"x": item}})
    assert shown is bool(notices.announcements(configuration, (), "en", NOW))


def test_announcements_are_said_in_the_users_language():
    """With the language where it is not the page's; changed words make another announcement."""
    (news,) = notices.announcements(CONFIGURATION, (), "de", NOW)
    assert (news.title, news.text) == (Said("Es gibt Neues", "de"), Said("Read <it>."))
    changed = CONFIGURATION.announcements["news"].model_copy(update={"text": "Read that."})
    assert news.id != notices._notice("news", Announcement(title=changed.title, text="Read that."), "de").id


def test_groups_can_be_chosen_by_members_of_several():
    """All of them together first; the one that is chosen is named."""
    frame = notices.frame(ALICE, CONFIGURATION, "de", NOW)
    assert [(group.value, group.label, group.chosen) for group in frame.groups] == [
        ("", "All my groups", True),
        ("friends", "Friends", False),
        ("all", "Everybody", False),
    ]
    assert frame.groups[1].description == Said("Des Hauses.", "de")
    assert frame.acting == ""
    frame = notices.frame(Identity("alice", group="friends"), CONFIGURATION, "en", NOW)
    assert [group.chosen for group in frame.groups] == [False, True, False]
    assert frame.acting == "Friends"


@pytest.mark.parametrize(
    ("identity", "acting"),
    [(None, ""), (NORA, "Guests"), (OTTO, ""), (Identity("zoe"), "")],
    ids=["nobody", "exclusive", "one", "none"],
)
def test_without_a_choice_there_is_no_switch(identity, acting):
    """One group or none at all is no question, nor is an exclusive one, which is named."""
    frame = notices.frame(identity, CONFIGURATION, "en", NOW)
    assert (frame.groups, frame.acting) == ((), acting)


def without_cloud():
    raw = tree()
    del raw["systems"]["cloud"]
    return Configuration.model_validate(raw)


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        (Identity("zoe"), notices.Nothing.NO_GROUP),
        (Identity("otto"), notices.Nothing.NO_ACCOUNT),
        (Identity("otto", (Account("o", "other", "hai"),)), notices.Nothing.NOT_OPEN),
        (Identity("nora", (Account("n", "login", "hai"),)), None),
        (Identity("alice", (Account("a", "jureca", "hai"),)), None),
    ],
    ids=["group", "account", "no system", "guest", "something"],
)
def test_why_there_is_nothing(identity, why):
    """In no group, without an account, or nothing is missing."""
    configuration = without_cloud()
    assert why is notices.why_nothing(identity, configuration, options_for(identity, configuration, Facts(now=NOW)))


@pytest.mark.parametrize(("group", "why"), [("friends", notices.Nothing.OTHER_GROUP), (None, notices.Nothing.NOT_OPEN)])
def test_why_nothing_is_open(group, why):
    """Another of one's groups may have what this one has not."""
    raw = tree()
    del raw["systems"]["cloud"], raw["systems"]["jureca"]["default_partitions"]
    raw["systems"]["juwels"]["default_partitions"] = []
    raw["options"]["new"]["allowed"] = {"systems": ["juwels"]}
    raw["groups"].pop("guests")
    configuration = Configuration.model_validate(raw)
    identity = Identity("alice", (Account("a", "jureca", "hai"),), group=group)
    assert why is notices.why_nothing(identity, configuration, options_for(identity, configuration, Facts(now=NOW)))
