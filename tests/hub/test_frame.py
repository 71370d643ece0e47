# SPDX-License-Identifier: BSD-3-Clause
"""What all pages share: the frame with announcements and groups, alone for the script; links that stay inside a lab."""

import pytest

from jupyter_jsc.hub import frame
from jupyter_jsc.hub.frame import FRAGMENT


@pytest.mark.parametrize(
    ("wanted", "result"),
    [
        ("/user/a/x/lab/tree/n.ipynb", "/user/a/x/lab/tree/n.ipynb"),
        ("", "/user/a/x/"),
        ("https://evil.example/", "/user/a/x/"),
        ("//evil.example/user/a/x/", "/user/a/x/"),
        ("/user/a/x/../../b/y/", "/user/a/x/"),
        ("/user/a/xy/", "/user/a/x/"),
    ],
)
def test_deep_link_stays_inside_the_lab(wanted, result):
    """Only an address inside the lab is followed."""
    assert result == frame._deep_link(wanted, "/user/a/x/")


async def test_announcements_stand_on_every_page(alice):
    """What is for everybody and for one's groups, what weighs most first, escaped, in the user's language."""
    for path in ("/home", "/labs/new", "/help"):
        _, text = await alice.get(path, **{"Accept-Language": "de"})
        assert text.index("Hello friends") < text.index('<strong lang="de">Es gibt Neues</strong>')
        assert "Read &lt;it&gt;." in text
        assert "Long over" not in text


async def test_the_frame_alone(alice):
    """A script gets announcements and the user's menu; a browser gets the list of labs."""
    answer, text = await alice.get("/frame", **{FRAGMENT: "1"})
    assert answer.headers[FRAGMENT] == "1"
    assert 'id="announcements"' in text
    assert 'id="user-menu"' in text
    assert "<html" not in text
    answer, _ = await alice.get("/frame")
    assert answer.headers["Location"] == "/hub/home"


async def test_the_frame_of_nobody(visitor):
    """Who is not logged in reads what is for everybody."""
    _, text = await visitor.get("/frame", **{FRAGMENT: "1"})
    assert "There is news" in text
    assert "Hello friends" not in text
    assert "user-menu" not in text


async def test_pages_name_the_version_that_they_were_made_with(alice, pages_hub):
    """So that a script sees whether the stream speaks of another one."""
    await pages_hub.commit(lambda tree: None)
    _, text = await alice.get("/home")
    assert f'data-version="c{pages_hub.version}"' in text
    assert 'data-stream="/hub/api/jsc/stream"' in text
