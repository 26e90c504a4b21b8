"""The inventory that the lab writes is one that the roles and yamllint accept."""

from pathlib import Path

import pytest
import yaml
from yamllint import linter  # type: ignore[import-untyped]
from yamllint.config import YamlLintConfig  # type: ignore[import-untyped]

from lab.fleet import inventory, store
from lab.fleet.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path / "checkout", {})


def test_stores_of_another_inventory_stand_only_there(settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "scenario"
    store.define(settings, "store-001", settings.inventory)
    store.define(settings, "alone", other)
    for directory in (settings.inventory, other):
        inventory.write(settings, directory)
    ours = yaml.safe_load((settings.inventory / "hosts.yml").read_text())
    theirs = yaml.safe_load((other / "hosts.yml").read_text())
    assert ours == {"stores": {"hosts": {"store-001": {"ansible_host": "10.213.77.11"}}}}
    assert theirs == {"stores": {"hosts": {"alone": {"ansible_host": "10.213.77.12"}}}}


@pytest.mark.parametrize("directory", ["inventory/lab", "molecule/default/inventory", "../elsewhere"])
def test_paths_lead_from_the_inventory_to_the_lab(settings: Settings, directory: str) -> None:
    where = settings.project / directory
    home = yaml.safe_load(inventory.group_vars(settings, where))["ovms_lab_home"]
    relative = home.removeprefix("{{ inventory_dir }}/")
    assert not Path(relative).is_absolute()
    assert (where / relative).resolve() == settings.home.resolve()


def test_every_role_variable_is_an_input_of_that_role(settings: Settings) -> None:
    roles = {
        path.parts[-3]: yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
        for path in PROJECT.glob("roles/*/meta/argument_specs.yml")
    }
    assert roles
    for name in yaml.safe_load(inventory.group_vars(settings, settings.inventory)):
        if not name.startswith(("ansible_", "ovms_lab_")):
            assert any(name in options for options in roles.values()), name


def test_every_required_input_is_given(settings: Settings) -> None:
    given = yaml.safe_load(inventory.group_vars(settings, settings.inventory))
    for path in PROJECT.glob("roles/*/meta/argument_specs.yml"):
        if path.parts[-3] == "site_cache":
            continue  # of hosts beside the stores, which the lab's inventory has none of
        options = yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options", {})
        missing = [name for name, spec in options.items() if spec.get("required") and name not in given]
        assert missing == [], path


def test_it_holds_no_secret_and_no_path_of_this_machine(settings: Settings) -> None:
    text = inventory.group_vars(settings, settings.inventory)
    assert str(settings.project) not in text
    assert "password: \"{{ lookup('ansible.builtin.file'" in text


def test_yamllint_has_nothing_to_say(settings: Settings) -> None:
    config = YamlLintConfig(file=str(PROJECT / ".yamllint"))
    store.define(settings, "store-001", settings.inventory)
    for text in (
        inventory.hosts(store.known(settings).values()),
        inventory.group_vars(settings, settings.inventory),
    ):
        assert [str(problem) for problem in linter.run(text, config)] == []


def test_an_inventory_without_stores_is_removed(settings: Settings) -> None:
    store.define(settings, "store-001", settings.inventory)
    inventory.write(settings, settings.inventory)
    (store.directory(settings, "store-001") / "store.json").unlink()
    assert inventory.write(settings, settings.inventory) == []
    assert not settings.inventory.exists()
