"""The house style of roles and playbooks, held as tests: what a linter does not look at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovms_edge.ovms.fields import fields_for

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
ROLE_YAML = sorted((ROOT / "roles").rglob("*.yml"))
TASK_FILES = sorted((ROOT / "roles").glob("*/tasks/*.yml"))
HANDLERS = sorted((ROOT / "roles").glob("*/handlers/*.yml"))
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]
EXAMPLE = "\n".join(
    path.read_text() for path in sorted((ROOT / "inventory/example/group_vars").glob("*.yml"))
)

# What a task may hold beside its module.
KEYWORDS = {
    *("name", "when", "register", "changed_when", "failed_when", "check_mode", "no_log", "notify", "until"),
    *("retries", "delay", "loop", "loop_control", "vars", "become", "block", "always", "rescue", "tags"),
    *("ignore_unreachable", "delegate_to", "run_once", "listen", "timeout", "throttle"),
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def spec(role: str) -> dict[str, Any]:
    options: dict[str, Any] = load(ROOT / f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"][
        "options"
    ]
    return options


def tasks_in(document: Any) -> list[dict[str, Any]]:
    found = []
    for task in document or []:
        found.append(task)
        for inner in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
            found += tasks_in(task.get(inner))
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_the_specs_defaults(role: str) -> None:
    defaults = load(ROOT / f"roles/{role}/defaults/main.yml") or {}
    promised = {
        key: option.get("default") for key, option in spec(role).items() if not option.get("required")
    }
    assert defaults == promised


@pytest.mark.parametrize("role", ROLES)
def test_a_required_input_has_no_default(role: str) -> None:
    assert not [key for key, option in spec(role).items() if option.get("required") and "default" in option]


@pytest.mark.parametrize("role", ROLES)
def test_inputs_carry_the_roles_name_and_say_type_and_meaning(role: str) -> None:
    for key, option in spec(role).items():
        assert key.startswith(f"{role}_")
        assert option["type"]
        assert option["description"]
        assert option["type"] != "list" or option["elements"]


@pytest.mark.parametrize("role", ROLES)
def test_other_variables_are_private(role: str) -> None:
    constants = load(ROOT / f"roles/{role}/vars/main.yml")
    assert [key for key in constants if not key.startswith(f"__{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_the_first_task_checks_the_inputs(role: str) -> None:
    first = load(ROOT / f"roles/{role}/tasks/main.yml")[0]
    assert first["ansible.builtin.import_tasks"] == "assert.yml"
    (check,) = load(ROOT / f"roles/{role}/tasks/assert.yml")
    assert check["ovms.edge.role_inputs"] == {"roles": [role]}


@pytest.mark.parametrize("role", ROLES)
def test_task_files_have_the_agreed_names(role: str) -> None:
    names = {path.stem for path in (ROOT / f"roles/{role}/tasks").iterdir()}
    assert names <= {"main", "assert", "vars", "install", "configure", "service", "verify", "reboot"}


@pytest.mark.parametrize("path", PLAYBOOKS, ids=name)
def test_a_role_that_ansible_does_not_validate_checks_its_inputs_itself(path: Path) -> None:
    # From its first task on, and not from one of its files alone.
    for task in tasks_in(load(path)):
        role = task.get("ansible.builtin.import_role", {})
        assert role.get("rolespec_validate", True) or "tasks_from" not in role


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_a_task_file_has_at_most_80_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 80


@pytest.mark.parametrize("path", PLAYBOOKS, ids=name)
def test_a_playbook_has_at_most_60_lines_and_says_how_to_run_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 60
    assert lines[1].startswith("# ")


@pytest.mark.parametrize("path", [*TASK_FILES, *HANDLERS, *PLAYBOOKS], ids=name)
def test_modules_and_roles_go_by_their_full_names(path: Path) -> None:
    for task in tasks_in(load(path)):
        modules = set(task) - KEYWORDS - {"hosts", "gather_facts", "any_errors_fatal", "tasks", "roles"}
        assert [module for module in modules if module.count(".") < 2] == []
        roles = [entry["role"] for entry in task.get("roles", [])]
        roles += [task[key]["name"] for key in modules if key.endswith("_role")]
        assert [role for role in roles if not role.startswith("ovms.edge.")] == []


@pytest.mark.parametrize("path", [path for path in TASK_FILES if path.stem != "main"], ids=name)
def test_a_task_is_named_after_its_file(path: Path) -> None:
    assert [task["name"] for task in load(path) if not task["name"].startswith(f"{path.stem} | ")] == []


@pytest.mark.parametrize("path", ROLE_YAML, ids=name)
def test_facts_are_not_taken_from_injected_variables(path: Path) -> None:
    none = "facts|check_mode|diff_mode|play_hosts_all"
    injected = re.findall(rf"\bansible_(?!(?:{none})\b)\w+", path.read_text())
    assert [found for found in injected if found != "ansible_version"] == []


@pytest.mark.parametrize("path", [*TASK_FILES, *HANDLERS, *PLAYBOOKS], ids=name)
def test_no_task_ignores_errors_or_hides_changes(path: Path) -> None:
    for task in tasks_in(load(path)):
        assert "ignore_errors" not in task
        assert task.get("changed_when") is not False
        assert task.get("failed_when") is not False


def test_the_example_inventory_names_every_input() -> None:
    named = set(re.findall(r"^#? ?(\w+):", EXAMPLE, re.MULTILINE))
    inputs = {key for role in ROLES for key in spec(role)}
    assert inputs - named == set()
    prefixed = {key for key in named if key.startswith(tuple(f"{role}_" for role in ROLES))}
    assert prefixed - inputs == set()


def test_the_example_inventory_shows_the_defaults() -> None:
    shown = yaml.safe_load("\n".join(re.findall(r"^# (\w+: .*)$", EXAMPLE, re.MULTILINE)))
    defaults = {key: option.get("default") for role in ROLES for key, option in spec(role).items()}
    wrong = {key: value for key, value in shown.items() if key in defaults and defaults[key] != value}
    assert wrong == {}


def test_graph_options_are_those_of_ovms_2025_4_1() -> None:
    own_inputs = {"models_path", "device", "cache_size"}
    options = spec("ovms_server")["ovms_server_graph"]["options"]
    known = {key: field for key, field in fields_for("2025.4.1").items() if key not in own_inputs}
    assert set(options) == set(known)
    assert options["pipeline_type"]["choices"] == list(known["pipeline_type"].choices)
