# SPDX-License-Identifier: Apache-2.0
"""The inputs of this collection's roles, by the contract in ``meta/argument_specs.yml``. Private to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator, ValidationResult
from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.ovms.edge.plugins.plugin_utils._input_checks import CHECKS

ROLES = Path(__file__).resolve().parents[2] / "roles"


class BadInputsError(Exception):
    """Inputs of a role cannot work; the text has a line for each: what, the value found, what to do."""


def spec_of(role: str) -> dict[str, Any]:
    """Return the options that a role takes; raises FileNotFoundError if there is no such role."""
    document = yaml_load((ROLES / role / "meta/argument_specs.yml").read_text())
    options: dict[str, Any] = document["argument_specs"]["main"]["options"]
    return options


def problems_of(role: str, spec: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the values ``given`` for ``role``, a line each; nothing of a secret."""
    found = [
        f"{name} is not an input of role {role}; see its meta/argument_specs.yml for the names"
        for name in given
        if name not in spec
    ]
    missing = [name for name, option in spec.items() if option.get("required") and name not in given]
    found += [f"{name} is not set; set it in the inventory, see inventory/example" for name in missing]
    odd = unknown_options(spec, given)
    found += odd
    # What is no list or mapping can be looked into no further; of all else the checks say best what to write.
    composite = {name: option for name, option in spec.items() if option["type"] in ("list", "dict")}
    wrong = [] if odd else type_errors(role, composite, given)
    if missing or wrong:
        return found + wrong
    found += CHECKS[role](as_written(spec, given))
    return found or type_errors(role, spec, given)


def unknown_options(spec: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return a line for each key of a mapping that its spec does not name."""
    return [
        f"{name} has the option {key}, which is none of its own; remove it, or use one of: "
        + ", ".join(option["options"])
        for name, option in spec.items()
        if option["type"] == "dict" and "options" in option and isinstance(given.get(name), dict)
        for key in given[name]
        if key not in option["options"]
    ]


def as_written(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs with their defaults; text that stands for a list or mapping is read as that."""
    texts = {
        name: value
        for name, value in given.items()
        if name in spec and spec[name]["type"] in ("list", "dict") and isinstance(value, str)
    }
    return {
        **{name: option.get("default") for name, option in spec.items()},
        **given,
        **{name: typed({name: spec[name]}, texts)[name] for name in texts},
    }


def validation(spec: Mapping[str, Any], given: Mapping[str, Any]) -> ValidationResult:
    # Ansible writes what a nested spec says into the mappings that it is given, its own defaults among them.
    named = deepcopy({name: given[name] for name in spec if name in given})
    return ArgumentSpecValidator(deepcopy(dict(spec))).validate(named, validate_role_argument_spec=True)


def type_errors(role: str, spec: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    messages: list[str] = validation(spec, given).error_messages
    return [f"{message}; see meta/argument_specs.yml of role {role}" for message in messages]


def typed(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that ``spec`` names, each of its type, defaults among them."""
    values: dict[str, Any] = validation(spec, given).validated_parameters
    return values


def inputs_of(role: str, known: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the inputs of ``role`` in the variables ``known``, each of its type, defaults among them.

    Raises BadInputsError.
    """
    spec = spec_of(role)
    given = {name: template(known[name]) for name in known if name.startswith(f"{role}_")}
    if problems := problems_of(role, spec, given):
        raise BadInputsError("\n".join(problems))
    return typed(spec, given)
