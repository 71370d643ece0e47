# SPDX-License-Identifier: BSD-3-Clause
"""The provider's memory: values end by themselves, nothing grows without bound."""

from jupyter_jsc.demo.identity_state import IdentitySettings, Provider, Store


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_store_forgets_in_time() -> None:
    """A value is there until its time is over."""
    clock = Clock()
    store: Store[str] = Store(10, clock)
    store.put("a", "value", 5)
    clock.now = 4.9
    assert store.get("a") == "value"
    clock.now = 5
    assert None is store.get("a")
    assert len(store) == 0


def test_store_is_bounded() -> None:
    """The oldest make room."""
    store: Store[int] = Store(3, Clock())
    for number in range(10):
        store.put(str(number), number, 1)
    assert [store.get(key) for key in ("6", "7", "8", "9")] == [None, 7, 8, 9]
    assert len(store) == 3


def test_store_pops_and_drops() -> None:
    """What is taken or dropped is gone."""
    store: Store[int] = Store(10, Clock())
    for number in range(4):
        store.put(str(number), number, 1)
    assert (store.pop("0"), store.pop("0")) == (0, None)
    store.drop(lambda value: value > 2)
    assert [store.get(str(number)) for number in range(4)] == [None, 1, 2, None]


def test_wrong_names_are_not_kept() -> None:
    """Names that nobody has are counted as one: a guesser cannot fill the memory."""
    provider = Provider(IdentitySettings("http://localhost:1", "portal", "secret", ()))
    for number in range(100):
        provider.wrong_with(f"nobody{number}", "x", "jsc")
    assert len(provider._tries) == 1
    assert list(provider._tries) == [""]
    assert provider.pause_s("alice") == 0
