"""ovms-facts 3.2 to 3.4: which graphs load, and why the others do not.

The graphs are those that the checker is held to (tests/unit/test_graph_agreement.py).
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.graphs import BAD, GOOD, NOT_LOOKED_AT, NOT_OFFERED, damage
from tests.contract.support import (
    FAILED,
    START_SECONDS,
    Container,
    copy_model,
    graph,
    start,
    write_models,
)

pytestmark = pytest.mark.lab
SECONDS_PER_MODEL = 20  # a deadline: they are loaded one after the other


@pytest.fixture(scope="module")
def bad(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One server with every bad graph in it: each fails by itself."""
    models = tmp_path_factory.mktemp("bad")
    entries = [{"config": {"name": name}} for name in BAD]
    write_models(models, {"model_config_list": entries}, {name: graph.text for name, graph in BAD.items()})
    damage(models, copy_model)
    container = start(models, "--config_path", "/models/config.json")
    try:
        container.wait_until_loaded(START_SECONDS + SECONDS_PER_MODEL * len(BAD))
        yield container
    finally:
        container.remove()
        shutil.rmtree(models)


def skip_unless_standin(container: Container) -> None:
    if "standin" not in container.server.get("/v2").json()["version"]:
        pytest.skip("OVMS itself logs other words; the code is the stand-in's reading of the sources")


def reason_of(container: Container, name: str) -> str:
    lines = [line for line in container.logs().splitlines() if f"Loading of graph {name} failed" in line]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_graph_is_listed_as_failed(bad: Container, name: str) -> None:
    assert bad.server.statuses()[name] == FAILED, bad.logs()


@pytest.mark.parametrize("name", BAD)
def test_the_log_gives_the_reason(bad: Container, name: str) -> None:
    skip_unless_standin(bad)

    assert f": {BAD[name].code}: " in reason_of(bad, name)


@pytest.mark.parametrize("name", ["empty", "no-gpu"])
def test_a_failed_graph_answers_500(bad: Container, name: str) -> None:
    answer = bad.server.chat(model=name)

    assert (answer.status_code, answer.json()) == (500, {"error": "Mediapipe is not loaded yet"})


def test_the_server_stays_up_with_failed_graphs(bad: Container) -> None:
    assert bad.state() == (True, 0)


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    models = tmp_path_factory.mktemp("good")
    graphs = GOOD | NOT_OFFERED | {name: bad.text for name, bad in NOT_LOOKED_AT.items()}
    entries = [{"config": {"name": name}} for name in graphs]
    write_models(models, {"model_config_list": entries}, graphs)
    container = start(models, "--config_path", "/models/config.json")
    try:
        container.wait_until_loaded(START_SECONDS + SECONDS_PER_MODEL * len(graphs))
        yield container
    finally:
        container.remove()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_graph_is_available(good: Container, name: str) -> None:
    assert [status["state"] for status in good.server.statuses()[name]] == ["AVAILABLE"], good.logs()


def test_the_compile_cache_is_written_where_plugin_config_says(good: Container) -> None:
    assert good.execute("sh", "-c", "ls /tmp/cache/*.blob") == 0


def test_a_graph_whose_input_has_another_name_loads_but_answers_412(good: Container) -> None:
    assert good.server.chat(model="other-input-name").status_code == 412


@pytest.mark.parametrize("name", ["output-not-produced", "other-side-packet-name"])
def test_a_graph_that_cannot_start_loads_but_answers_500(good: Container, name: str) -> None:
    assert good.server.chat(model=name).status_code == 500


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_the_stand_in_says_what_it_does_not_offer(good: Container, name: str) -> None:
    skip_unless_standin(good)

    assert good.server.statuses()[name] == FAILED
    assert "is not offered by the stand-in" in good.logs()


@pytest.mark.parametrize("name", NOT_LOOKED_AT)
def test_the_stand_in_does_not_look_at_stream_handlers(good: Container, name: str) -> None:
    skip_unless_standin(good)

    assert [status["state"] for status in good.server.statuses()[name]] == ["AVAILABLE"]


@pytest.fixture
def render_node(tmp_path: Path) -> Path:
    """A node as the lab's, without a driver; for the real image OVMS_RENDER_NODE must name a real one."""
    if "OVMS_RENDER_NODE" in os.environ:
        return Path(os.environ["OVMS_RENDER_NODE"])
    if os.geteuid() != 0:
        pytest.skip("needs root to make a render node, or OVMS_RENDER_NODE")
    node = tmp_path / "renderD128"
    os.mknod(node, stat.S_IFCHR | 0o660, os.makedev(226, 128))
    node.chmod(0o660)
    os.chown(node, 0, 991)
    return node


@pytest.mark.parametrize(
    ("in_group", "devices", "state"), [(True, "CPU, GPU", "AVAILABLE"), (False, "CPU", "LOADING")]
)
def test_a_gpu_graph_needs_rights_on_the_render_node(
    model: Path, tmp_path: Path, render_node: Path, in_group: bool, devices: str, state: str
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_models(models, {"model_config_list": [{"config": {"name": "a"}}]}, {"a": graph(device="GPU")})
    group = ("--group-add", str(render_node.stat().st_gid)) if in_group else ()
    container = start(
        models,
        *("--config_path", "/models/config.json"),
        options=("--device", f"{render_node}:/dev/dri/renderD128", *group),
    )
    try:
        container.wait_until_loaded()
        assert f"Available devices for Open VINO: {devices}\n" in container.logs()
        assert [status["state"] for status in container.server.statuses()["a"]] == [state]
    finally:
        container.remove()
