"""The graphs that OVMS's export script writes for the command lines in its documentation.

Nothing of the script is run: its options are read from its syntax tree, its template is rendered, and what it
computes in between (plugin_config, draft directory) is restated in ``_computed``.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, NoReturn

import jinja2

from tests.corpus.case import LOADS, Case, ModelKind
from tests.corpus.clone import Tree

_SCRIPT = "demos/common/export_models/export_model.py"
_TEMPLATE = "text_generation_graph_template"
_PARSERS = ("parser_text", "parser")  # `parser` inside add_common_arguments
_COMMAND = re.compile(r"export_model\.py text_generation (?P<options>--[^\n`|;&]*)")
_VISION = re.compile(r"VL\d?-|VL2|vision|llava|MiniCPM-V|gemma-3", re.IGNORECASE)


class UnknownOptionError(Exception):
    """The documentation names an option that the script of its release does not have."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UnknownOptionError(message)


def cases(tree: Tree) -> Iterator[Case]:
    """Yield one graph for every distinct documented command line, and one for the script's defaults."""
    for path in tree.files(f"^{_TEMPLATE}", _SCRIPT):
        script = ast.parse(tree.read(path))
        template = jinja2.Environment(loader=jinja2.BaseLoader()).from_string(_template(script))  # noqa: S701
        for place, options in {"its defaults": "--source_model a/b", **_commands(tree)}.items():
            try:
                parsed = _options(script).parse_args(shlex.split(options))
            except UnknownOptionError as error:
                print(f"{tree.tag} {place}: the documented command line is refused by the script: {error}")
                continue
            parameters = _computed(vars(parsed), tree.version)
            kind: ModelKind = "VLM" if _VISION.search(str(parsed.source_model)) else "LM"
            text = template.render(model_path="./", **parameters)
            draft = parameters["draft_model_dir_name"] or ""
            yield Case(f"{path} for {place}", text, LOADS, kind, draft=draft)


def _template(script: ast.Module) -> str:
    for node in script.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == _TEMPLATE:
            return str(ast.literal_eval(node.value))
    raise LookupError(_TEMPLATE)


def _options(script: ast.Module) -> argparse.ArgumentParser:
    """Return a parser with the options of text_generation, as the script declares them."""
    parser = _Parser(add_help=False, allow_abbrev=True)
    for node in ast.walk(script):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr != "add_argument" or not isinstance(node.func.value, ast.Name):
            continue
        if node.func.value.id in _PARSERS:
            names = [str(ast.literal_eval(name)) for name in node.args]
            keywords = {word.arg: word.value for word in node.keywords if word.arg not in (None, "help")}
            parser.add_argument(*names, **{str(name): _value(value) for name, value in keywords.items()})
    return parser


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return {"int": int, "str": str, "float": float}[node.id]
    if isinstance(node, ast.Lambda):  # 2026.0 on: --enable_prefix_caching takes a value
        return lambda text: str(text).lower() == "true"
    return ast.literal_eval(node)


def _commands(tree: Tree) -> dict[str, str]:
    """Return the documented command lines by the place of their first use."""
    found: dict[str, str] = {}
    for path in tree.files("export_model.py text_generation --", "*.md"):
        document = tree.read(path).replace("\\\n", " ")
        for match in _COMMAND.finditer(document):
            options = " ".join(match["options"].split())
            if options not in found.values() and "--help" not in options:
                found[f"{path}: {options}"] = options
    return found


def _computed(options: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the template's parameters (export_text_generation_model of v2024.5 to v2026.3)."""
    npu_properties = {"MAX_PROMPT_LEN": options.get("max_prompt_len")}
    plugin_config = {
        "KV_CACHE_PRECISION": options.get("kv_cache_precision"),
        "CACHE_DIR": options.get("ov_cache_dir"),
    }
    if version < "2026":
        plugin_config |= npu_properties
    elif options["target_device"] == "NPU":
        if options["enable_prefix_caching"]:
            npu_properties["NPUW_LLM_ENABLE_PREFIX_CACHING"] = True
        plugin_config["DEVICE_PROPERTIES"] = {"NPU": _given(npu_properties)}
    if options.get("prompt_lookup_decoding"):
        plugin_config["prompt_lookup"] = True
    if "HETERO" in options["target_device"]:
        plugin_config["MODEL_DISTRIBUTION_POLICY"] = "PIPELINE_PARALLEL"
    draft = options.get("draft_source_model") or options.get("draft_model_name")
    return {
        **options,
        "plugin_config": json.dumps(_given(plugin_config)),
        "draft_model_dir_name": draft.replace("/", "-") if draft else None,
    }


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
