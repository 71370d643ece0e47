# SPDX-License-Identifier: BSD-3-Clause
"""Texts of the configuration are texts: whatever stands in a label, no page makes markup, a template or a link of it."""

import re

from tests.hub import offer

EVIL = "\"><img src=x onerror=alert(1)>{{ 7 * 7191 }}{% raw %}'<!--"
READ = {"label", "description", "text", "title", "support", "unit", "deprecated", "en", "de"}


def _marked(node, name=""):
    """Put markup into every text of a tree that people read."""
    if isinstance(node, dict):
        return {key: _marked(value, key if key in READ else "") for key, value in node.items()}
    if isinstance(node, list):
        return [_marked(value) for value in node]
    return f"{node}{EVIL}" if isinstance(node, str) and name else node


def _with_markup(tree):
    texts = tree["texts"]  # braces stand for something in these
    tree.update(_marked(tree) | {"texts": texts})


async def test_no_text_of_the_configuration_is_markup(alice, pages_hub):
    """It stands there as it was written, on every page, for those who are not logged in too."""
    server = await alice.made("marked")
    await pages_hub.commit(_with_markup)
    pages = ("/home", "/help", "/labs/new", f"/labs/{server}", f"/labs/{server}/edit", "/ways")
    shown = 0
    for path in pages:
        if path == "/ways":
            alice.session.cookie_jar.clear()
        answer, text = await alice.get(path)
        assert 200 == answer.status, path
        assert "<img" not in text, path
        assert "<!--" not in text, path
        assert str(7 * 7191) not in text, path
        assert 'x onerror=alert(1)>"' not in text, path
        shown += len(re.findall("&lt;img src=x onerror=alert", text))
    await pages_hub.commit(lambda tree: None)

    assert shown > 20


def test_markup_stands_in_all_that_people_read():
    """Otherwise the test above proves little."""
    tree = offer.tree()
    _with_markup(tree)
    assert str(tree).count("onerror") > 30
