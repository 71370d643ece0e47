# SPDX-License-Identifier: BSD-3-Clause
"""Small configurations, identities and moments drawn at random, in which few names meet often.

By a seeded generator instead of hypothesis' own strategies: these make mostly tiny configurations, and slowly.
"""

from datetime import UTC, datetime, timedelta
from random import Random

from jupyter_jsc.config.model import Configuration
from jupyter_jsc.rights.identity import Account, Facts, Identity, LiveLab
from jupyter_jsc.wire import SystemHealth

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SYSTEMS, PARTITIONS, OPTIONS, GROUPS = ["s1", "s2", "s3"], ["p1", "p2", "login"], ["o1", "o2", "o3"], ["g1", "g2", "g3"]
ACCOUNTS, PROJECTS, KEYS = ["alice1", "alice2"], ["hai", "cern", "train1"], ["k1", "k2"]
ACCOUNT_PATTERNS, PROJECT_PATTERNS = ["alice1", "*2", "alice?"], ["hai", "train*", "[hc]*", "nobody"]
IMAGES = ["i1", "i2"]
RESERVATIONS = ["r1", "r2", "course-1"]
ENTITLEMENTS = ["urn:x:group:a", "/portal/demo"]
RULES = [
    {"everybody": True},
    {"everybody": True, "patterns": ["a*"]},
    {"admin": True},
    {"users": ["alice"]},
    {"patterns": ["*@course.example"]},
    {"entitlements": ["urn:*:group:a"]},
    {"identity_providers": ["p"], "entitlements": ["/portal/*"]},
]


def some(random, values, fewest=0):
    return random.sample(values, random.randint(fewest, len(values)))


def mapping(random, keys, make, fewest=0):
    return {key: make(random) for key in some(random, keys, fewest)}


def given(random, share=0.4, **fields):
    """Those of *fields*, functions of *random*, that are drawn to stand in a mapping."""
    return {key: make(random) for key, make in fields.items() if random.random() < share}


def limit(random):
    return random.randint(0, 3)


def coin(random):
    return random.random() < 0.5


def moment(random):
    return NOW + timedelta(hours=random.randint(-300, 300))


def span(random):
    begins, ends = sorted([moment(random), moment(random)])
    if begins == ends:
        return {"begins": begins}
    return {"begins": begins} | given(random, 0.7, ends=lambda _: ends)


def allowed(random, share):
    return given(
        random,
        share,
        systems=lambda r: some(r, SYSTEMS, 1),
        accounts=lambda r: some(r, ACCOUNT_PATTERNS),
        projects=lambda r: some(r, PROJECT_PATTERNS, 1),
        partitions=lambda r: some(r, PARTITIONS, 1),
        reservations=lambda r: r.choice([["*"], ["r*"], ["course-*", "r2"], []]),
    )


def resource(random):
    low, wide, step = random.randint(0, 3), random.randint(0, 20), random.randint(1, 3)
    numbers = {"minimum": low, "maximum": low + wide, "default": low + random.randint(0, wide // step) * step}
    label = "Nodes [{minimum}, {maximum}]"
    return numbers | {"label": label, "step": step} | given(random, 0.3, checkbox=lambda _: {"label": "on"})


def limits_of_resource(random):
    low, wide = random.randint(0, 9), random.randint(0, 9)
    where = {"system": random.choice(SYSTEMS), "partition": random.choice(["p1", "p2"]), "resource": "nodes"}
    numbers = {"minimum": low, "maximum": low + wide}
    return where | numbers | given(random, default=lambda r: r.randint(low, low + wide))


def system(random, name):
    cluster = name == "s3"
    partitions = {key: {"resources": given(random, 0.8, nodes=resource)} for key in ["p1", "p2"]}
    return ({"kubernetes": {}} if cluster else {"unicore": {"url": "https://x/rest/core"}}) | {
        "label": name.upper(),
        "kind": "kubernetes" if cluster else "unicore",
        "manager": "m",
        "order": random.randint(0, 1),
        "jump_hosts": {name: {"host": "h", "host_key": "ssh-ed25519 A"}},
        "lab_hosts": ["*"],
        "account_keys": {key: some(random, PARTITIONS) for key in KEYS},
        "default_partitions": some(random, PARTITIONS) if coin(random) else [],
        "partitions": partitions | {"login": {"kind": "interactive"}},
        **given(random, max_labs_per_user=limit),
    }


def option(random):
    return {"label": "Option", "order": random.randint(0, 1), "default": coin(random)} | given(
        random,
        groups=lambda r: some(r, GROUPS),
        allowed=lambda r: allowed(r, 0.3),
        max_labs_per_user=limit,
        container=lambda r: {"images": mapping(r, IMAGES, image, 1)},
    )


def image(random):
    return {"label": "Image", "image": "registry.example/lab:1"} | given(random, description=lambda _: "What is in it.")


def group_option(random):
    return given(random, allowed=lambda r: allowed(r, 0.4), max_labs_per_user=limit)


def group(random):
    return {
        "label": random.choice(["Course", "Members"]),
        "members": random.choices(RULES, k=random.randint(1, 2)),
        "weight": random.randint(0, 2),
        "exclusive": random.random() < 0.2,
    } | given(
        random,
        options=lambda r: mapping(r, OPTIONS, group_option, 1),
        ranges=lambda r: [limits_of_resource(r) for _ in range(r.randint(1, 4))],
        max_labs=limit,
        max_labs_per_user=limit,
        systems=lambda r: mapping(r, SYSTEMS, limit),
    )


def software(random):
    return {"label": "Item", "default": coin(random), "compute_only": coin(random)} | given(
        random,
        default=lambda r: some(r, OPTIONS),
        options=lambda r: some(r, OPTIONS),
        systems=lambda r: some(r, SYSTEMS),
    )


def software_set(random):
    items = mapping(random, ["i1", "i2"], software, 1)
    return {"label": "Set", "kind": "kernels", "order": random.randint(0, 1), "items": items}


def reservation(random):
    who = {"projects": some(random, PROJECT_PATTERNS), "accounts": some(random, ACCOUNTS)}
    where = {"system": random.choice(["s1", "s1", *SYSTEMS])}
    where |= given(random, partitions=lambda r: some(r, ["p1", "login"], 1))
    times = span(random) if random.random() < 0.3 else given(random, begins=moment)
    return (who if any(who.values()) else {"projects": ["*"]}) | where | times


def maintenance(random):
    where = {"systems": some(random, SYSTEMS, 1)} | given(random, partitions=lambda r: some(r, PARTITIONS, 1))
    return where | span(random) | {"text": random.choice(["", "Firmware."])}


def configuration(random: Random) -> Configuration:
    tree = {
        "hub": "portal",
        "identity_providers": {"p": {"label": "P", "authenticators": ["p.saml"], "preselect": {"by": "p.oidc"}}},
        "managers": {"m": {"url": "http://m"}},
        "tunnelmgr": {"url": "http://t"},
        "systems": {name: system(random, name) for name in SYSTEMS},
        "options": mapping(random, OPTIONS, option, 1),
        "groups": mapping(random, GROUPS, group, 2) if random.random() < 0.8 else {},
        "software": mapping(random, ["kernels", "modules", "empty"], software_set),
        "maintenance": mapping(random, ["m1", "m2"], maintenance) if coin(random) else {},
        "reservations": mapping(random, RESERVATIONS, reservation),
    }
    return Configuration.model_validate(tree | given(random, max_labs_per_user=limit))


def identity(random: Random) -> Identity:
    accounts = [
        Account(random.choice(ACCOUNTS), random.choice([*KEYS, "unknown"]), random.choice(PROJECTS))
        for _ in range(random.randint(0, 6))
    ]
    return Identity(
        user=random.choice(["alice", "bob@course.example"]),
        accounts=tuple(accounts),
        entitlements=tuple(some(random, ENTITLEMENTS)),
        authenticator=random.choice(["", "p.saml", "p.oidc", "other"]),
        admin=coin(random),
        group=random.choice([None, None, None, "gone", *GROUPS]),
    )


def facts(random: Random) -> Facts:
    return Facts(
        now=NOW,
        labs=tuple(
            LiveLab(random.choice("abc"), random.choice(SYSTEMS), random.choice(OPTIONS))
            for _ in range(random.choice([0, 0, 1, 2, 3]))
        ),
        group_labs=mapping(random, GROUPS, limit),
        health=mapping(random, SYSTEMS, lambda r: SystemHealth(available=coin(r), text=r.choice(["", "Down."]))),
    )
