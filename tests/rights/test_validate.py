# SPDX-License-Identifier: BSD-3-Clause
"""The check: what the tree offers passes, all else is refused by field, value and what is allowed; what blocks a start."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_jsc import wire
from jupyter_jsc.config.base import Text
from jupyter_jsc.config.stacks import SoftwareKind
from jupyter_jsc.config.systems import Checkbox, PartitionKind, Resource
from jupyter_jsc.errors import Conflict, InvalidRequest
from jupyter_jsc.rights.options import options_for
from jupyter_jsc.rights.tree import (
    FREE,
    ImageChoice,
    OptionChoice,
    OptionTree,
    PartitionChoice,
    Place,
    ReservationChoice,
    SoftwareChoice,
    SoftwareSetChoice,
    SystemChoice,
)
from jupyter_jsc.rights.validate import blocked, check_start, validate
from tests.rights import drawn

NOTHING = Text(en="")


def number(minimum, maximum, default, **more):
    return Resource(label=Text(en="Number"), minimum=minimum, maximum=maximum, default=default, **more)


RESOURCES = {
    "nodes": number(1, 4, 1),
    "runtime": number(10, 120, 60, step=10, unit="min"),
    "xserver": number(0, 3, 0, checkbox=Checkbox(label=Text(en="X"))),
}
SOFTWARE = {
    "kernels": SoftwareSetChoice(
        Text(en="Kernels"),
        SoftwareKind.KERNELS,
        {"r": SoftwareChoice("R", NOTHING, "", True), "julia": SoftwareChoice("Julia", NOTHING, "", False)},
    )
}


def tree(**blocks):
    """A tree with a system, a cluster, and texts at the places that *blocks* names."""

    def text(place):
        return Text(en=blocks[place]) if place in blocks else FREE

    batch = PartitionChoice("Batch", NOTHING, PartitionKind.BATCH, RESOURCES, SOFTWARE, text("partition"))
    login = PartitionChoice("Login", NOTHING, PartitionKind.INTERACTIVE, {}, {})
    places = {"batch": Place(("course", "maintenance")), "login": Place(), "reserved": Place(("course",), True)}
    partitions = {"batch": batch, "login": login, "reserved": login}
    accounts = {"alice1": {"hai": places, "cern": {"login": Place()}}}
    lab = OptionChoice("Lab", NOTHING, True, None, accounts, partitions, text("option"))
    old = OptionChoice("Old", NOTHING, False, None, {"alice2": accounts["alice1"]}, partitions)
    reservations = {
        "course": ReservationChoice(NOTHING, text("reservation")),
        "maintenance": ReservationChoice(NOTHING),
    }
    juwels = SystemChoice("JUWELS", NOTHING, True, {"lab": lab, "old": old}, reservations, text("system"))
    images = {"science": ImageChoice("Science", NOTHING), "small": ImageChoice("Small", NOTHING)}
    small = OptionChoice("Lab", NOTHING, True, None, {"": {"": {"login": Place()}}}, {"login": login}, images=images)
    cloud = SystemChoice("Cloud", NOTHING, False, {"lab": small}, {})
    return OptionTree({"juwels": juwels, "cloud": cloud}, (), text("tree"))


TREE = tree()
OPTIONS = {
    "system": "juwels",
    "option": "lab",
    "account": "alice1",
    "project": "hai",
    "partition": "batch",
    "resources": {"nodes": 1, "runtime": 60},
    "software": {"kernels": ["julia", "r"]},
}
LOGIN = OPTIONS | {"partition": "login", "resources": {}, "software": {}}
CLOUD = {"system": "cloud", "option": "lab", "partition": "login", "image": "small"}


def changed(**change):
    return OPTIONS | change


def resources(**change):
    return OPTIONS | {"resources": OPTIONS["resources"] | change}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(OPTIONS, id="all"),
        pytest.param(LOGIN, id="interactive"),
        pytest.param({k: v for k, v in LOGIN.items() if k != "resources"}, id="no resources where there are none"),
        pytest.param(CLOUD | {"software": {}}, id="cluster"),
        pytest.param(CLOUD | {"software": {}, "account": None, "project": None}, id="cluster with null"),
        pytest.param(changed(reservation="course"), id="a reservation"),
        pytest.param(LOGIN | {"partition": "reserved", "reservation": "course"}, id="a reservation that must be"),
        pytest.param(resources(xserver=3), id="an optional resource"),
        pytest.param(changed(software={}), id="no software at all"),
        pytest.param(changed(software={"kernels": []}), id="an empty set"),
    ],
)
def test_possible_options_pass(raw):
    """What the tree allows comes back as it was."""
    options = wire.Options.model_validate(raw)

    assert options == validate(raw, TREE)
    assert options == validate(options, TREE)


@pytest.mark.parametrize("raw", [changed(software=None), {k: v for k, v in OPTIONS.items() if k != "software"}])
def test_software_that_is_not_given_becomes_what_is_on_by_default(raw):
    """A lab that was saved before there was software starts with the defaults."""
    assert {"kernels": ["r"]} == validate(raw, TREE).software


def test_an_image_that_is_not_given_becomes_the_first():
    """And where there are none there is none."""
    assert "science" == validate(CLOUD | {"image": None}, TREE).image
    assert validate(OPTIONS, TREE).image is None


REFUSED = [
    ("unknown image", CLOUD | {"image": "large"}, "image", "'large'", "one of science, small"),
    ("image on an HPC system", changed(image="small"), "image", "'small'", "nothing here"),
    ("unknown system", changed(system="frontier"), "system", "'frontier'", "one of juwels, cloud"),
    ("unknown option", changed(option="lab-9"), "option", "'lab-9'", "one of lab, old"),
    ("option of another system", CLOUD | {"option": "old"}, "option", "'old'", "one of lab"),
    ("foreign account", changed(account="bob1"), "account", "'bob1'", "one of alice1"),
    ("account of another option", changed(account="alice2"), "account", "'alice2'", "one of alice1"),
    ("no account", changed(account=None), "account", "None", "one of alice1"),
    ("foreign project", changed(project="climate"), "project", "'climate'", "one of hai, cern"),
    ("no project", changed(project=None), "project", "None", "one of hai, cern"),
    ("partition of another project", changed(project="cern"), "partition", "'batch'", "one of login"),
    ("no partition", {k: v for k, v in OPTIONS.items() if k != "partition"}, "partition", "None", "batch"),
    ("account on a cluster", CLOUD | {"account": "alice1"}, "account", "'alice1'", "nothing here"),
    ("project on a cluster", CLOUD | {"project": "hai"}, "project", "'hai'", "nothing here"),
    ("empty account on a cluster", CLOUD | {"account": ""}, "account", "''", ""),
    ("unknown reservation", changed(reservation="other"), "reservation", "'other'", "one of course, maintenance"),
    ("reservation where there is none", LOGIN | {"reservation": "course"}, "reservation", "'course'", "nothing here"),
    ("no reservation", LOGIN | {"partition": "reserved"}, "reservation", "None", "one of course"),
    ("runtime above the limit", resources(runtime=130), "resources.runtime", "130", "10 to 120 min"),
    ("runtime below the limit", resources(runtime=0), "resources.runtime", "0", "10 to 120 min"),
    ("between steps", resources(runtime=65), "resources.runtime", "65", "in steps of 10"),
    ("optional resource above", resources(xserver=4), "resources.xserver", "4", "0 to 3"),
    ("a huge number", resources(nodes=10**5000), "resources.nodes", "a huge number", "1 to 4"),
    ("a string for a number", resources(nodes="1"), "resources.nodes", "'1'", "whole number"),
    ("a bool for a number", resources(nodes=True), "resources.nodes", "True", "whole number"),
    ("a float for a number", resources(nodes=1.0), "resources.nodes", "1.0", "whole number"),
    ("null for a number", resources(nodes=None), "resources.nodes", "None", "whole number"),
    ("missing resource", changed(resources={"nodes": 1}), "resources.runtime", "None", "10 to 120 min"),
    ("unknown resource", resources(gpus=1), "resources", "'gpus'", "nodes, runtime, xserver"),
    ("resource of an interactive partition", LOGIN | {"resources": {"nodes": 1}}, "resources", "'nodes'", "nothing"),
    ("unknown set", changed(software={"modules": []}), "software", "'modules'", "one of kernels"),
    ("unknown item", changed(software={"kernels": ["x"]}), "software.kernels", "'x'", "one of r, julia"),
    ("an item twice", changed(software={"kernels": ["r", "r"]}), "software.kernels", "'r'", "each at most once"),
    ("an item that is no name", changed(software={"kernels": [7]}), "software.kernels.0", "7", ""),
    ("software where there is none", LOGIN | {"software": {"kernels": []}}, "software", "'kernels'", "nothing here"),
    ("extra key", changed(colour="evil"), "colour", "'evil'", "no such field"),
    ("number for a name", changed(system=7), "system", "7", ""),
    ("shell in a name", changed(account="alice1; rm -rf /"), "account", "'alice1; rm -rf /'", ""),
    ("no object", ["juwels"], "options", "['juwels']", "an object"),
    ("nothing", None, "options", "None", "an object"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "field", "value", "allowed"), [line[1:] for line in REFUSED], ids=[x[0] for x in REFUSED]
)
def test_impossible_options_are_refused_by_name(raw, field, value, allowed):
    """The message names the field, the value and what is allowed; so does the detail."""
    with pytest.raises(InvalidRequest) as refused:
        validate(raw, TREE)

    assert {"field": field, "value": value} == {name: refused.value.detail[name] for name in ("field", "value")}
    assert allowed in refused.value.detail["allowed"]
    assert refused.value.message.startswith(f"{field}: {value}")


def test_long_values_names_and_lists_are_cut():
    """What was sent is repeated up to fifty characters, and of many names that are allowed the first are listed."""
    with pytest.raises(InvalidRequest) as refused:
        validate(changed(**{"x" * 10_000: "y" * 10_000}), TREE)
    systems = {f"s{number}": TREE.systems["juwels"] for number in range(100)}
    with pytest.raises(InvalidRequest) as listed:
        validate(OPTIONS, OptionTree(systems))

    assert (50, 50) == (len(refused.value.detail["value"]), len(refused.value.detail["field"]))
    assert listed.value.detail["allowed"].endswith("s29 and 70 more")


def test_values_without_end_are_refused():
    """Lists in lists in lists are shown by their first levels."""
    deep = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(InvalidRequest):
        validate(deep, TREE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=10), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*OPTIONS, "reservation", "extra", "\ud800"]), JSON) | JSON)
def test_any_json_passes_or_is_refused(raw):
    """Whatever JSON comes, there are options that the tree allows, or one refusal that says where."""
    options, detail = None, None
    try:
        options = validate(raw, TREE)
    except InvalidRequest as refused:
        detail = set(refused.detail)
        refused.message.encode()

    assert (options is None) == (detail == {"field", "value", "allowed"})


@given(st.integers(-10, 10), st.integers(-200, 200))
def test_numbers_pass_exactly_within_their_limits(nodes, runtime):
    """Minimum, maximum and step decide, and nothing else."""
    try:
        validate(resources(nodes=nodes, runtime=runtime), TREE)
        passed = True
    except InvalidRequest:
        passed = False

    assert (1 <= nodes <= 4 and 10 <= runtime <= 120 and runtime % 10 == 0) == passed


def offered(tree):
    """Every place of a tree, with each reservation that may be chosen, as options."""
    for system, choice in tree.systems.items():
        for option, item in choice.options.items():
            for account, projects in item.accounts.items():
                for project, places in projects.items():
                    for partition, place in places.items():
                        for reservation in [*place.reservations, *([] if place.reservation_required else [None])]:
                            yield {
                                "system": system,
                                "option": option,
                                "account": account or None,
                                "project": project or None,
                                "partition": partition,
                                "reservation": reservation,
                            }


def numbers(random, resource):
    return random.randrange(resource.minimum, resource.maximum + 1, resource.step)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_whatever_is_offered_passes(seed):
    """The form can only send what the check accepts: every place with every default and other values in the limits."""
    random = Random(seed)
    tree = options_for(drawn.identity(random), drawn.configuration(random), drawn.facts(random))

    for raw in offered(tree):
        partition = tree.systems[raw["system"]].options[raw["option"]].partitions[raw["partition"]]
        images = list(tree.systems[raw["system"]].options[raw["option"]].images)
        raw["resources"] = {key: resource.default for key, resource in partition.resources.items()}
        defaults = validate(raw, tree)
        raw["image"] = random.choice(images) if images else None
        raw["resources"] = {key: numbers(random, resource) for key, resource in partition.resources.items()}
        raw["software"] = {key: drawn.some(random, list(offer.items)) for key, offer in partition.software.items()}

        assert (images or [None])[0] == defaults.image
        assert wire.Options.model_validate(raw) == validate(raw, tree)
        assert defaults == validate(defaults.model_dump(mode="json"), tree)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_whatever_passes_is_in_the_tree(seed):
    """Any combination of names that exist passes exactly if it is one of the places."""
    random = Random(seed)
    tree = options_for(drawn.identity(random), drawn.configuration(random), drawn.facts(random))
    places = list(offered(tree))

    for _ in range(50):
        raw = {
            "system": random.choice(drawn.SYSTEMS),
            "option": random.choice(drawn.OPTIONS),
            "account": random.choice([*drawn.ACCOUNTS, None]),
            "project": random.choice([*drawn.PROJECTS, None]),
            "partition": random.choice(drawn.PARTITIONS),
            "reservation": random.choice([*drawn.RESERVATIONS, None, None]),
            "image": random.choice([*drawn.IMAGES, None]),
        }
        option = tree.systems[raw["system"]].options.get(raw["option"]) if raw["system"] in tree.systems else None
        partition = option.partitions.get(raw["partition"]) if option else None
        given_ = {key: one.default for key, one in partition.resources.items()} if partition else {}
        try:
            validate(raw | {"resources": given_}, tree)
            passed = True
        except InvalidRequest:
            passed = False

        image = raw.pop("image")
        assert (raw in places and (image is None or image in option.images)) == passed


BLOCKED = [
    ({}, ""),
    ({"tree": "a", "system": "b", "partition": "c", "reservation": "d", "option": "e"}, "a"),
    ({"system": "b", "partition": "c", "reservation": "d", "option": "e"}, "b"),
    ({"partition": "c", "reservation": "d", "option": "e"}, "c"),
    ({"reservation": "d", "option": "e"}, "d"),
    ({"option": "e"}, "e"),
]


@pytest.mark.parametrize(("blocks", "reason"), BLOCKED)
def test_what_blocks_a_start_is_a_conflict(blocks, reason):
    """The first reason is told in both languages; without one there is no error."""
    blocking = tree(**blocks)
    options = validate(changed(reservation="course"), blocking)

    assert reason == blocked(options, blocking).en
    if not reason:
        check_start(options, blocking)
        return
    with pytest.raises(Conflict) as refused:
        check_start(options, blocking)
    assert (reason, {"en": reason, "de": reason}) == (refused.value.message, refused.value.detail)


def test_reservations_that_are_not_chosen_block_nothing():
    """Only the reservation of the lab counts."""
    blocking = tree(reservation="not begun")

    check_start(validate(changed(reservation="maintenance"), blocking), blocking)
    check_start(validate(OPTIONS, blocking), blocking)
