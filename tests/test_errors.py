# SPDX-License-Identifier: BSD-3-Clause
"""The error tree: every class travels as a problem and comes out as the same class."""

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import errors


def tree(cls: type[errors.JSCError]) -> list[type[errors.JSCError]]:
    return [cls, *(child for direct in cls.__subclasses__() for child in tree(direct))]


CLASSES = [cls for cls in tree(errors.JSCError) if cls.__module__ == errors.__name__]
"""What travels as itself; classes of other modules travel by their status."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("retry_after_s", [None, 0.0, 2.5])
def test_class_survives_the_wire(cls: type[errors.JSCError], retry_after_s: float | None):
    """Class, message, detail and the time to wait are on the other side what they were on this one."""
    error = cls("Choose another partition.", retry_after_s=retry_after_s, field="partition", allowed=["batch"])
    document = json.loads(json.dumps(error.problem()))
    other = errors.from_problem(document, error.status)

    assert type(other) is cls
    assert (other.message, other.retry_after_s, other.detail) == (error.message, error.retry_after_s, error.detail)
    assert str(other) == error.message


@given(st.sampled_from(CLASSES), st.text(), st.dictionaries(st.text(min_size=1, max_size=10), JSON, max_size=4))
def test_any_text_and_detail_survive_the_wire(cls: type[errors.JSCError], message: str, detail: dict[str, object]):
    """Whatever a message and a detail hold, also names of our own parameters, comes out again."""
    document = json.loads(json.dumps({**cls(message).problem(), **({"errors": detail} if detail else {})}))
    other = errors.from_problem(document, cls.status)

    assert type(other) is cls
    assert other.message == message


@pytest.mark.parametrize("cls", CLASSES)
def test_problem_is_that_of_rfc_9457(cls: type[errors.JSCError]):
    """A problem has type, title, status and detail; nothing empty is added."""
    problem = cls("Text.").problem()

    assert problem == {"type": cls.__name__, "title": cls.title, "status": cls.status, "detail": "Text."}
    assert cls.title
    assert cls.__doc__


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.InvalidRequest),
        (401, errors.NotAuthenticated),
        (403, errors.Forbidden),
        (409, errors.Conflict),
        *((status, errors.Unavailable) for status in (404, 418, 422, 424, 495, 500, 502, 503, 504)),
    ],
)
@pytest.mark.parametrize("document", [None, "<html>", [], {}, {"type": "Unknown"}, {"detail": "x"}, {"type": []}])
def test_foreign_answer_becomes_the_class_of_its_status(status: int, expected: type[errors.JSCError], document: object):
    """What is no problem of ours is judged by its status; what a proxy says never tells that a lab is gone."""
    error = errors.from_problem(document, status)

    assert type(error) is expected
    assert str(status) in error.message


@given(JSON, st.sampled_from([400, 404, 500, 503, 599]))
def test_nonsense_is_always_an_error_of_ours(document: object, status: int):
    """No answer makes the parser fail."""
    assert isinstance(errors.from_problem(document, status), errors.JSCError)


@given(JSON, JSON, JSON)
def test_nonsense_inside_a_problem_is_survived(detail: object, inner: object, retry: object):
    """Wrong types inside a problem of ours still give its class."""
    document = {"type": "Conflict", "detail": detail, "errors": inner, "retry_after_s": retry}

    assert type(errors.from_problem(document, 409)) is errors.Conflict


def test_the_docstring_is_the_tree():
    """The module's docstring lists every class with its status."""
    listed = dict(re.findall(r"([A-Z]\w+)\s+(\d{3})\b", errors.__doc__ or ""))

    assert listed == {cls.__name__: str(cls.status) for cls in CLASSES}
    assert max(Counter(cls.__name__ for cls in CLASSES).values()) == 1
