# SPDX-License-Identifier: BSD-3-Clause
"""The limits of resources for the members of groups. Pure; called by :mod:`.catalogue`."""

from collections.abc import Mapping, Sequence

from jupyter_jsc.config.base import Text
from jupyter_jsc.config.groups import Group, Range
from jupyter_jsc.config.systems import Resource


def resources_for(
    resources: Mapping[str, Resource], system: str, partition: str, groups: Sequence[Group]
) -> dict[str, Resource]:
    """Return *resources* with the widest limits that *groups* give, which stand in the order of their weight.

    A group that says nothing of a resource gives the partition's own limits. The default is that of the first group
    that has one, else the partition's own, moved inside the limits and down to a step.
    """
    return {
        key: _limited(
            resource,
            [
                [
                    limits
                    for limits in group.ranges
                    if (limits.system, limits.partition, limits.resource) == (system, partition, key)
                ]
                for group in groups
            ],
        )
        for key, resource in resources.items()
    }


def _limited(resource: Resource, given: Sequence[Sequence[Range]]) -> Resource:
    ranges = [limits for group in given for limits in group]
    lowest, highest = [limits.minimum for limits in ranges], [limits.maximum for limits in ranges]
    if not all(given) or not ranges:
        lowest.append(resource.minimum)
        highest.append(resource.maximum)
    minimum, maximum = min(lowest), max(highest)
    wanted = next((limits.default for limits in ranges if limits.default is not None), resource.default)
    inside = min(max(wanted, minimum), maximum)
    default = inside - (inside - minimum) % resource.step
    label = _filled(resource.label, minimum, maximum)
    changes = {"minimum": minimum, "maximum": maximum, "default": default, "label": label}
    return resource.model_copy(update=changes)


def _filled(label: Text, minimum: int, maximum: int) -> Text:
    def fill(text: str) -> str:
        return text.replace("{minimum}", str(minimum)).replace("{maximum}", str(maximum))

    return Text(en=fill(label.en), de=fill(label.de))
