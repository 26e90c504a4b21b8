"""The units by which a store looks after itself."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles/node_agent"
CONSTANTS = yaml.safe_load((ROLE / "vars/main.yml").read_text())


def unit(kind: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROLE / f"files/ovms-edge-tend.{kind}")
    return parser


def test_it_runs_at_boot_and_again_after_each_end() -> None:
    timer = unit("timer")
    assert dict(timer["Timer"]) == {"OnBootSec": "5s", "OnUnitInactiveSec": "30s", "AccuracySec": "1s"}
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_it_may_take_as_long_as_a_model_loads() -> None:
    service = unit("service")["Service"]
    assert (service["Type"], service["TimeoutStartSec"]) == ("oneshot", "infinity")


def test_it_waits_for_the_engine_and_the_gateway_and_starts_neither() -> None:
    service = unit("service")["Unit"]
    assert service["After"].split() == ["docker.service", "ovms-edge-gateway.service"]
    assert not {"Wants", "Requires", "BindsTo", "PartOf"} & set(service)


def test_a_store_that_does_not_serve_shows_as_failed() -> None:
    assert "SuccessExitStatus" not in unit("service")["Service"]


@pytest.mark.parametrize("name", ["ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ProtectHome"])
def test_the_state_directory_may_lie_anywhere(name: str) -> None:
    """The input node_agent_state_dir is not in the unit."""
    service = unit("service")["Service"]
    assert service["ProtectSystem"] == "full"
    assert name not in service


def test_the_role_writes_the_units_before_the_tool_and_runs_the_timer() -> None:
    paths = [entry["path"] for entry in CONSTANTS["__node_agent_files"]]
    assert paths[-1] == unit("service")["Service"]["ExecStart"].split()[0]
    assert paths[-3] == "/etc/systemd/system/ovms-edge-tend.service"
    (task,) = yaml.safe_load((ROLE / "tasks/install.yml").read_text())
    assert task["ovms.edge.host_files"]["units"] == ["{{ __node_agent_timer }}"]
    assert (ROLE / "files" / CONSTANTS["__node_agent_timer"]).is_file()
