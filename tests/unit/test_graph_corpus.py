"""The checker on what OVMS says of graphs itself (tests/corpus runs it on OVMS's own texts)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.graph.check import check_graph, first_error
from ovms_edge.graph.model import ModelFacts, read_model_facts
from ovms_edge.ovms.fields import KNOWN_VERSIONS
from tests.corpus.models import write_models
from tests.unit.graph_facts import DRAFT, LOADS, REFUSED, RELEASES, Loads, Refused, graph, releases


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFacts | None]:
    directories = write_models(tmp_path_factory.mktemp("models"))
    for directory in directories.values():
        (directory / DRAFT).mkdir()
    return {"": None, **{kind: read_model_facts(directory) for kind, directory in directories.items()}}


def reported(text: str, version: str, model: ModelFacts | None) -> str:
    error = first_error(check_graph(text, version, model))
    return "OK" if error is None else error.code


@pytest.mark.parametrize(
    ("fact", "version"),
    [(fact, version) for fact in LOADS for version in releases(fact.since, fact.until)],
    ids=lambda value: value if isinstance(value, str) else f"{value.model}-{value.options}",
)
def test_what_ovms_documents_and_tests_is_accepted(
    models: dict[str, ModelFacts | None], fact: Loads, version: str
) -> None:
    assert reported(graph(fact.options, version), version, models[fact.model]) == "OK"


@pytest.mark.parametrize(
    ("fact", "version"),
    [(fact, version) for fact in REFUSED for version in releases(fact.since, fact.until)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_what_ovms_expects_to_fail_is_rejected_with_its_status_code(
    models: dict[str, ModelFacts | None], fact: Refused, version: str
) -> None:
    text = fact.change(graph(fact.options, version))

    assert reported(text, version, models[fact.model]) == fact.code


@pytest.mark.parametrize("version", RELEASES)
def test_the_graph_that_the_refused_ones_are_made_of_loads(
    models: dict[str, ModelFacts | None], version: str
) -> None:
    assert reported(graph("", version), version, models["LM"]) == "OK"


def test_every_release_of_the_field_matrix_is_covered() -> None:
    assert {".".join(version.split(".")[:2]) for version in RELEASES} == set(KNOWN_VERSIONS)


def test_a_graph_that_leads_into_the_mount_is_followed(tmp_path: Path) -> None:
    models = write_models(tmp_path)
    mounted = read_model_facts(models["LM"], "/models/text")
    text = graph("", "2025.4.1")

    assert reported(text.replace('"./"', '"/models/text"'), "2025.4.1", mounted) == "OK"
    assert (
        reported(text.replace('"./"', '"/models/other"'), "2025.4.1", mounted)
        == "LLM_NODE_DIRECTORY_DOES_NOT_EXIST"
    )
