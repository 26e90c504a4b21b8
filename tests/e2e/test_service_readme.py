"""ovms-service/README.md from top to bottom, its commands as written, with the tiny model for the 7B one."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from PIL import Image

from tests.e2e.service_folder import MODEL, NAME, ROOT, TINY, Machine, Result, copy_project
from tests.e2e.service_store import Store, bare_store

pytestmark = pytest.mark.lab

SOURCE = "--source_model Qwen/Qwen2.5-VL-7B-Instruct "
README = ROOT / "ovms-service/README.md"
# The packages are put in place by a link to this environment: tests/e2e/test_export.py installs them.
INSTALLATION = re.compile(r"^(python3 -m venv|pip install) .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Readme:
    text: str

    def section(self, title: str) -> str:
        return re.split(r"^## ", self.text.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]

    def blocks(self, title: str, language: str = "sh") -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```$", self.section(title), re.MULTILINE | re.DOTALL)

    def troubles(self) -> list[str]:
        return re.findall(r"^\| `([^`]+)`.*\|.*\|.*\|$", self.section("Troubleshooting"), re.MULTILINE)


README_TEXT = Readme(README.read_text())


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = copy_project(tmp_path_factory.mktemp("project"))
    Image.new("RGB", (112, 168), (200, 60, 20)).save(machine.service / "order.jpg")
    return machine


@pytest.fixture(scope="module")
def exported(machine: Machine) -> list[str]:
    """What each block of the model's setup printed."""
    blocks = [INSTALLATION.sub("", block) for block in README_TEXT.blocks("Model setup")]
    assert [SOURCE in block for block in blocks] == [False, True, False]
    return [machine.must(block.replace(SOURCE, f"--source_model {TINY} ")) for block in blocks]


@pytest.fixture(scope="module")
def store(machine: Machine, exported: list[str]) -> Iterator[Store]:
    with bare_store(machine.project) as store:
        yield store


@pytest.fixture(scope="module")
def running(store: Store) -> list[str]:
    """What each block that starts the server printed."""
    return [store.must(block) for block in README_TEXT.blocks("Running OVMS")]


def test_the_export_is_where_the_readme_says(machine: Machine, exported: list[str]) -> None:
    there = {path.name for path in (machine.service / MODEL).iterdir()}
    assert {"graph.pbtxt", "export.json", "openvino_language_model.bin"} <= there


def test_the_setup_script_then_has_nothing_to_do(exported: list[str]) -> None:
    assert f"{MODEL} is whole" in exported[2]
    assert "export" not in exported[2]


def test_the_graph_holds_the_options_that_the_readme_shows(machine: Machine, exported: list[str]) -> None:
    [shown] = README_TEXT.blocks("Configuration", "protobuf")
    graph = (machine.service / MODEL / "graph.pbtxt").read_text()
    options = graph.split("LLMCalculatorOptions]")[1].split("{", 1)[1].split("}\n  }")[0]
    assert {line.strip() for line in options.splitlines() if line.strip()} == set(shown.splitlines())


def test_the_configuration_is_the_one_that_the_readme_shows(machine: Machine, exported: list[str]) -> None:
    [shown] = README_TEXT.blocks("Configuration", "json")
    assert json.loads((machine.service / "models/config.json").read_text()) == json.loads(shown)


def test_the_checks_find_nothing_wrong(machine: Machine, exported: list[str]) -> None:
    [commands] = README_TEXT.blocks("Configuration")
    printed = machine.must(commands)
    assert "error:" not in printed
    assert "cache_size" in printed


def test_the_plan_for_a_host_is_printed(machine: Machine, exported: list[str]) -> None:
    [command] = README_TEXT.blocks("Performance and memory")
    assert "cache_size" in machine.must(command)


def test_the_server_serves_what_was_exported(running: list[str]) -> None:
    printed = running[-1]
    assert printed.count('"AVAILABLE"') == 2
    assert f'"id":"{NAME}"' in printed
    for metric in ("ovms_current_graphs", "ovms_requests_accepted", "ovms_graph_error"):
        assert f'{metric}{{name="{NAME}"' in printed or f'{metric}{{api="V3"' in printed, metric


def test_an_application_gets_its_answer(store: Store, running: list[str]) -> None:
    [commands] = README_TEXT.blocks("Usage in an application")
    asked, posted = commands.split("\n\n")
    assert store.must(asked).strip()
    answer = json.loads(store.must(posted))
    assert answer["choices"][0]["message"]["content"]


def test_the_server_runs_with_no_more_rights_than_it_needs(store: Store, running: list[str]) -> None:
    printed = json.loads(store.must("docker inspect ovms-vlm"))[0]
    host = printed["HostConfig"]
    assert (printed["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"]) == (
        "5000:5000",
        True,
        ["ALL"],
    )
    assert host["GroupAdd"] == ["654"]
    assert host["Memory"] == host["MemorySwap"] == 30 << 30
    assert "blob" in store.must("docker exec ovms-vlm ls /home/ovms/cache")


def test_nothing_outside_is_in_reach_of_the_server(store: Store, running: list[str]) -> None:
    ask = "curl -sk -o /dev/null --connect-timeout 3 https://depot.lab:5000/v2/"
    assert store.run(ask).status == 0
    assert store.run(f"docker exec ovms-vlm {ask}").status == 28, "a timeout: packets leave with no way back"


def test_a_killed_server_comes_back(store: Store, running: list[str]) -> None:
    store.must("kill -9 $(docker inspect -f '{{.State.Pid}}' ovms-vlm)")
    wait_until_served(store)
    [commands] = README_TEXT.blocks("Troubleshooting")
    printed = store.must(commands)
    assert "1 restarts" in printed
    assert "is available" in printed


def wait_until_served(store: Store) -> None:
    poll(store, "curl -s http://localhost:8002/v1/config", '"AVAILABLE"')


def poll(store: Store, command: str, text: str) -> str:
    deadline = time.monotonic() + 60
    while text not in (printed := store.run(command).output):
        assert time.monotonic() < deadline, printed
        time.sleep(0.5)
    return printed


GRAPH = f"{MODEL}/graph.pbtxt"
ASK = "curl -sS http://localhost:8002/v3/chat/completions -H 'Content-Type: application/json' -d "


def body(model: str = NAME) -> str:
    content = {"model": model, "max_completion_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}
    return f"'{json.dumps(content)}'"


def served_after(damage: str) -> Callable[[Store, str], str]:
    """Restart with damaged files, see the text in the log or in ``/v1/config``, undo it."""

    def case(store: Store, text: str) -> str:
        store.must(f"cp -a models /srv/kept; {damage}; docker restart -t 1 ovms-vlm")
        started = "$(docker inspect -f '{{.State.StartedAt}}' ovms-vlm)"
        seen = f"curl -s localhost:8002/v1/config; docker logs --since {started} ovms-vlm"
        try:
            return poll(store, seen, text)
        finally:
            store.must(
                "rm -r models/*; cp -a /srv/kept/. models/; rm -r /srv/kept; docker restart -t 1 ovms-vlm"
            )
            wait_until_served(store)

    return case


def without_env(store: Store, text: str) -> str:
    return store.run("mv .env x; docker compose --profile ovms up -d; mv x .env").output


def without_gpu(store: Store, text: str) -> str:
    up = "docker compose --profile ovms up -d --force-recreate"
    printed = store.run(f"mv /dev/dri /dev/away; {up}; mv /dev/away /dev/dri").output
    store.must(up)
    wait_until_served(store)
    return printed


def with_too_little_memory(store: Store, text: str) -> str:
    up = "docker compose --profile ovms up -d"
    store.must(f"OVMS_MEMORY_LIMIT=2g {up}")
    wait_until_served(store)
    printed = store.run(ASK + body()).output
    poll(store, "docker inspect -f '{{.RestartCount}}' ovms-vlm", "1")
    wait_until_served(store)  # a server that still loads takes its time to stop
    store.must(up)
    wait_until_served(store)
    return printed


SERVER_CASES: dict[str, Callable[[Store, str], str]] = {
    "is missing a value: write it to .env": without_env,
    'error gathering device information while adding custom device "/dev/dri"': without_gpu,
    "{}": served_after("""echo '{"model_config_list": []}' > models/config.json"""),
    "FAILED_PRECONDITION": served_after(f"sed -i 's/max_num_seqs/block_size/' {GRAPH}"),
    "Failed to read protobuf graph configuration file": served_after(f"echo '{{}}' > {GRAPH}"),
    "No version found for model in path": served_after(f"chmod 600 {GRAPH}"),
    "Error during llm node initialization": served_after(
        f"truncate -s 100 {MODEL}/openvino_language_model.bin"
    ),
    "Requested KV-cache size is larger than available memory size": served_after(
        f"sed -i 's/cache_size: 4/cache_size: 400/' {GRAPH}"
    ),
    "Empty reply from server": with_too_little_memory,
    "Model with requested name is not found": lambda store, _: store.must("curl -s localhost:8002/v1/models"),
    "Mediapipe graph definition with requested name is not found": lambda store, _: store.must(
        ASK + body("Qwen/Qwen2.5-VL-7B-Instruct")
    ),
}


def export_of_a_source_too_large_for_this_machine(machine: Machine) -> Result:
    source = machine.project / "large"
    shutil.copytree(TINY, source)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = memory // 4 * 2  # a conversion takes 2.5 times as much
    header = json.dumps(
        {"weight": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}
    ).encode()
    with (source / "model.safetensors").open("wb") as weights:
        weights.write(len(header).to_bytes(8, "little") + header)
        weights.truncate(8 + len(header) + size)  # sparse: nothing of it is on disk
    export = README_TEXT.blocks("Model setup")[1]
    return machine.run(export.replace(SOURCE, f"--source_model {source} ").replace(NAME, "large"))


def setup_with_a_truncated_file(machine: Machine) -> Result:
    return machine.run(f"truncate -s 100 {MODEL}/openvino_language_model.bin; ./setup_models.sh")


MACHINE_CASES: dict[str, Callable[[Machine], Result]] = {
    "memory too small: converting": export_of_a_source_too_large_for_this_machine,
    "is truncated:": setup_with_a_truncated_file,
}


@pytest.mark.parametrize("text", SERVER_CASES)
def test_the_server_prints_what_the_readme_quotes(store: Store, running: list[str], text: str) -> None:
    assert text in SERVER_CASES[text](store, text)


@pytest.mark.parametrize("text", MACHINE_CASES)
def test_our_tools_print_what_the_readme_quotes(machine: Machine, exported: list[str], text: str) -> None:
    result = MACHINE_CASES[text](machine)
    assert text in result.output
    assert result.status == 1


def test_every_quoted_text_has_its_case() -> None:
    assert sorted(README_TEXT.troubles()) == sorted([*SERVER_CASES, *MACHINE_CASES])
