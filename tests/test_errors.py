# SPDX-License-Identifier: BSD-3-Clause
"""The error tree: every class travels as a problem and comes out as itself."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc import errors

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.JSCError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_the_wire(cls: type[errors.JSCError]) -> None:
    """Class, message, delay and facts are the same on the other side."""
    sent = cls("Do this.", retry_after_s=3.0, field="nodes")
    received = errors.from_problem(sent.problem(), sent.status)
    assert type(received) is cls
    assert (received.message, received.retry_after_s, received.detail) == ("Do this.", 3.0, {"field": "nodes"})


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_shows_the_tree(cls: type[errors.JSCError]) -> None:
    """Who reads the module sees every class with its status."""
    assert f"{cls.__name__} " in (errors.__doc__ or "")
    assert str(cls.status) in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("status", "cls"),
    [(400, errors.InvalidRequest), (401, errors.NotAuthenticated), (403, errors.Forbidden)]
    + [(status, errors.Unavailable) for status in (404, 418, 500, 502, 503, 504)],
)
def test_a_foreign_answer_becomes_an_error_by_its_status(status: int, cls: type[errors.JSCError]) -> None:
    """An ingress or a proxy in between does not speak our problems."""
    assert type(errors.from_problem(None, status)) is cls


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)),
    st.integers(400, 599),
)
def test_any_document_becomes_an_error(document: object, status: int) -> None:
    """What a broken partner sends never raises something else."""
    assert isinstance(errors.from_problem(document, status), errors.JSCError)
