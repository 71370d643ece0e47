# SPDX-License-Identifier: BSD-3-Clause
"""Quantities of Kubernetes (``500m``, ``8Gi``) as exact numbers and back. Pure; called by admission and scheduler."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

_FORM = re.compile(r"^([+-]?[0-9]*\.?[0-9]+\.?)(e[+-]?[0-9]+|E[+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)$")
_BINARY: dict[str, int] = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse(text: object) -> Fraction:
    """Return the number; ValueError if *text* is no quantity."""
    found = _FORM.match(str(text))
    if not found:
        raise ValueError(text)
    number = Fraction(Decimal(found[1]))
    suffix = found[2]
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _power(_DECIMAL[suffix])
    return number * _power(int(suffix[1:]))


def text(number: Fraction) -> str:
    """Return the shortest exact way to write *number*, in powers of 1024 where they fit."""
    if number.denominator != 1:
        return f"{int(number * 1000)}m"
    whole = number.numerator
    for suffix, factor in reversed(_BINARY.items()):
        if whole and whole % factor == 0:
            return f"{whole // factor}{suffix}"
    return str(whole)


def total(parts: Iterable[Mapping[str, Any]]) -> dict[str, Fraction]:
    """Return the sums by resource."""
    sums: dict[str, Fraction] = {}
    for part in parts:
        for name, amount in part.items():
            sums[name] = sums.get(name, Fraction(0)) + parse(amount)
    return sums


def of_pod(pod: Mapping[str, Any], side: str) -> dict[str, Fraction]:
    """Return what the containers of a pod need in all; *side* is ``requests`` or ``limits``."""
    return total(one.get("resources", {}).get(side, {}) for one in pod["spec"].get("containers", []))


def _power(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)
