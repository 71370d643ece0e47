# SPDX-License-Identifier: BSD-3-Clause
"""The model of a chart's values → ``values.yaml`` with comments, and the JSON Schema that Helm checks values by.

``make docs`` writes both; a test compares them with what is committed.
"""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from tools.charts.values import K8sMgr, Values

HEAD = """\
# Values of the chart k8smgr, with their defaults. Written by `make docs` from tools/charts/values.py; do not edit it here.
"""
_WIDTH = 112


def values_yaml() -> str:
    """Return the text of ``values.yaml``."""
    return HEAD + "\n".join(_section(K8sMgr, K8sMgr().model_dump(mode="json", by_alias=True), 0)) + "\n"


def schema_json() -> str:
    """Return the text of ``values.schema.json``; draft 7, which every Helm 3 knows."""
    made = K8sMgr.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    made["definitions"] = made.pop("$defs")
    _tidy(made)
    made = {"$schema": "http://json-schema.org/draft-07/schema#", **made}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _section(model: type[Values], values: dict[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, info in model.model_fields.items():
        alias = info.alias or name
        if alias == "global":
            continue
        if depth == 0:
            yield ""
        words = " ".join((info.description or "").split())
        yield from textwrap.wrap(
            words, _WIDTH - len(indent), initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        inner = _model(info)
        if inner is not None and get_origin(info.annotation) is None:
            yield f"{indent}{alias}:"
            yield from _section(inner, values[alias], depth + 1)
        else:
            yield f"{indent}{_entry(alias, values.get(alias), indent)}"
            yield from _example(inner, info, indent)


def _entry(alias: str, value: Any, indent: str) -> str:
    if isinstance(value, dict | list) and len(json.dumps(value)) > 60:
        return f"{alias}:\n" + textwrap.indent(yaml.safe_dump(value, sort_keys=False).rstrip(), indent + "  ")
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"{alias}: {flow.removesuffix('...' + chr(10)).strip()}"


def _example(inner: type[Values] | None, info: FieldInfo, indent: str) -> Iterator[str]:
    """Yield, as comments, what one entry of a list or mapping of sections looks like."""
    if inner is None:
        return
    blank = {field.alias or name: _blank(field) for name, field in inner.model_fields.items()}
    lines = list(_section(inner, blank, 1))
    if get_origin(info.annotation) is dict:
        yield f"{indent}#   NAME:"
        yield from (f"{indent}#   {line}" for line in lines)
    else:
        yield from (f"{indent}# {'- ' + line[2:] if number == 0 else line}" for number, line in enumerate(lines))


def _blank(field: FieldInfo) -> Any:
    if not field.is_required():
        return field.default
    return [] if get_origin(field.annotation) is list else ""


def _model(info: FieldInfo) -> type[Values] | None:
    """Return the section that a field is, or that its list or mapping holds."""
    inner = (get_args(info.annotation) or (info.annotation,))[-1]
    return inner if isinstance(inner, type) and issubclass(inner, Values) else None


def _tidy(node: Any) -> None:
    """Remove titles, which repeat names, and defaults, which ``values.yaml`` has; refuse keys that fit no pattern."""
    if isinstance(node, list):
        for inner in node:
            _tidy(inner)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        if "type" in node or "$ref" in node or "anyOf" in node:
            node.pop("default", None)
        if "patternProperties" in node:
            node["additionalProperties"] = False
        node.pop("propertyNames", None)
        if isinstance(text := node.get("description"), str):
            node["description"] = " ".join(text.split())
        for inner in node.values():
            _tidy(inner)


def main(charts: Path) -> None:
    """Write both files of the chart below *charts*."""
    (charts / "k8smgr" / "values.yaml").write_text(values_yaml(), "utf-8")
    (charts / "k8smgr" / "values.schema.json").write_text(schema_json(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
