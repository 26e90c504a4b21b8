"""Servers shared by the whole suite: it takes one start each.

``OVMS_URL`` (with ``OVMS_MODEL`` if it serves several): rows that only read and chat run against that server,
all others are skipped. Else everything runs on ``OVMS_IMAGE`` with the model in ``OVMS_MODEL_DIR``; without
one of them the run ends.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.support import (
    IMAGE,
    MODEL_DIR,
    NAME,
    Container,
    Ovms,
    config_of,
    copy_model,
    graph,
    start,
    write_models,
)

API_KEY = "contract-key"
FAILED = 1  # the exit status of a run with a failed test


@pytest.fixture(scope="session")
def image() -> str:
    """The image by name; ends the run where it cannot be run."""
    if os.environ.get("OVMS_URL"):
        pytest.skip("needs start-up: OVMS_URL names a server that runs already")
    try:
        found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.exit("no docker command here; run make demo, which installs Docker", FAILED)
    if found.returncode:
        reason = found.stderr.decode(errors="replace").strip()
        pytest.exit(f"no image {IMAGE}: {reason}; run make demo, which builds it, or set OVMS_IMAGE", FAILED)
    return IMAGE


@pytest.fixture(scope="session")
def model(image: str) -> Path:
    if not (MODEL_DIR / "openvino_language_model.xml").exists():
        pytest.exit(f"no exported model in {MODEL_DIR}; run make demo, or set OVMS_MODEL_DIR", FAILED)
    return MODEL_DIR


@pytest.fixture(scope="session")
def main(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One good graph (relative models_path, in the model's directory), one bad, one directory with none."""
    models = tmp_path_factory.mktemp("main")
    copy_model(models / NAME)
    config = config_of(NAME, "bad", "without-graph", monitoring={"metrics": {"enable": True}})
    config["model_config_list"].append({"config": {"name": NAME, "base_path": "/models/bad"}})
    write_models(
        models,
        config,
        {NAME: graph("cache_size: 1", models_path="./"), "bad": graph("block_size: 32")},
    )
    (models / "without-graph").mkdir()
    yield from _running(start(models, "--config_path", "/models/config.json"))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Ovms:
    """The server to read from and chat with."""
    url = os.environ.get("OVMS_URL", "").rstrip("/")
    if not url:
        container: Container = request.getfixturevalue("main")
        return container.server
    listed = [entry["id"] for entry in Ovms(url).get("/v3/models").json()["data"]]
    return Ovms(url, os.environ.get("OVMS_MODEL", listed[0]), os.environ.get("OVMS_API_KEY", ""))


@pytest.fixture(scope="session")
def single(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Started without config.json: API key, limits, local media, metrics, a versioned graph, all by flags."""
    models = tmp_path_factory.mktemp("single")
    limits = "max_tokens_limit: 8 best_of_limit: 3"
    write_models(models, {}, {"graphs/1": graph(limits)})
    (models / "key").write_text(f"{API_KEY}  \r\nsecond line\n", encoding="utf-8")
    (models / "media").mkdir()
    yield from _running(
        start(
            models,
            *("--model_path", "/models/graphs", "--model_name", "single"),
            *("--api_key_file", "/models/key"),
            *("--allowed_local_media_path", "/models/media"),
            *("--metrics_enable", "--metrics_list", "ovms_requests_accepted,ovms_streams"),
            api_key=API_KEY,
            model="single",
        )
    )


def _running(container: Container) -> Iterator[Container]:
    try:
        container.wait_until_loaded()
        yield container
    finally:
        container.remove()
