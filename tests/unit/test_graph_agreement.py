"""The checker says of a graph what the server does with it (tests/contract/test_graph.py asks the server)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.graph.check import check_graph, first_error
from ovms_edge.graph.model import ModelFacts, read_model_facts
from ovms_edge.ovms.memory import GIB, HostMemory
from tests.contract.graphs import (
    BAD,
    GOOD,
    NOT_LOOKED_AT,
    NOT_OFFERED,
    WEIGHTS,
    Bad,
    copy_directory,
    damage,
)
from tests.unit.release_model import write_model

VERSION = "2025.4.1"
HOST = HostMemory(24 * GIB)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFacts]:
    """What lies at the paths that the graphs name, as the server sees them."""
    root = tmp_path_factory.mktemp("served")
    whole = write_model(root / "weights")
    models = root / "models"
    models.mkdir()
    damage(models, copy_directory(whole))
    return {
        WEIGHTS: read_model_facts(whole, WEIGHTS),
        **{
            f"/models/{path.name}": read_model_facts(path, f"/models/{path.name}")
            for path in models.iterdir()
        },
    }


def reported(text: str, facts: ModelFacts) -> str:
    error = first_error(check_graph(text, VERSION, facts, HOST))
    return "OK" if error is None else error.code


def facts_for(served: dict[str, ModelFacts], bad: Bad) -> ModelFacts:
    return served.get(bad.models_path, served[WEIGHTS])


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if not bad.unseen])
def test_what_the_server_refuses_is_rejected_with_its_status_code(
    served: dict[str, ModelFacts], name: str
) -> None:
    assert reported(BAD[name].text, facts_for(served, BAD[name])) == BAD[name].code


@pytest.mark.parametrize("name", GOOD)
def test_what_the_server_loads_is_accepted(served: dict[str, ModelFacts], name: str) -> None:
    assert reported(GOOD[name], served[WEIGHTS]) == "OK"


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_only_the_stand_in_refuses_is_accepted(served: dict[str, ModelFacts], name: str) -> None:
    assert reported(NOT_OFFERED[name], served[WEIGHTS]) == "OK"


@pytest.mark.parametrize("name", NOT_LOOKED_AT)
def test_what_only_the_stand_in_loads_is_rejected(served: dict[str, ModelFacts], name: str) -> None:
    assert reported(NOT_LOOKED_AT[name].text, served[WEIGHTS]) == NOT_LOOKED_AT[name].code


def test_what_the_checker_cannot_see_is_said_to_be_so() -> None:
    assert {name for name, bad in BAD.items() if bad.unseen} == {"no-gpu"}


def test_the_copies_are_damaged(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "weights")
    (tmp_path / "models").mkdir()
    damage(tmp_path / "models", copy_directory(whole))

    assert not read_model_facts(whole).broken
    for name in ("truncated", "cut", "partial"):
        assert read_model_facts(tmp_path / "models" / name).broken, name
