"""The lab takes away its own and nothing else."""

import io
from pathlib import Path

import pytest

from lab.fleet import containers, depot, engine, files, host_packages, keys, made, store, teardown
from lab.fleet.console import Console
from lab.fleet.settings import Settings
from ovms_edge.errors import EdgeError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path / "checkout", {})


class Engine:
    """Answers as `docker` does: what ``ps`` and ``network inspect`` say, and what was asked for besides."""

    def __init__(self, listed: str, network: str | None = None) -> None:
        self.listed, self.network = listed, network
        self.changes: list[tuple[str, ...]] = []

    def docker(self, *words: str) -> str:
        if words[0] == "ps":
            return self.listed
        if words[:2] == ("network", "inspect"):
            return str(self.network)
        self.changes.append(words)
        return ""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(containers, "docker", self.docker)
        monkeypatch.setattr(containers, "succeeds", lambda _: self.network is not None)


def test_containers_and_network_of_a_checkout_that_is_gone_go(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    (gone / ".lab").mkdir(parents=True)  # as an engine leaves it that restarts with the depot in it
    asked = Engine(
        f"ovms-lab-depot\t{gone}\novms-lab-store-001\t{gone}\novms-lab-x\t{settings.project}\n",
        f'{{"ovms-lab": "ovms-lab", "ovms-lab.project": "{gone}"}}',
    )
    asked.install(monkeypatch)
    output = io.StringIO()
    containers.claim_name(settings, Console(output))
    assert asked.changes == [
        ("rm", "--force", "--volumes", "ovms-lab-depot", "ovms-lab-store-001"),
        ("network", "rm", "ovms-lab"),
    ]
    assert f"removed 2 containers of the checkout {gone}, which is gone" in output.getvalue()


def test_a_checkout_that_is_there_keeps_its_lab(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    files.write(other / "lab" / "lab", "")
    for asked in (
        Engine(f"ovms-lab-depot\t{other}\n"),
        Engine("", f'{{"ovms-lab": "ovms-lab", "ovms-lab.project": "{other}"}}'),
    ):
        asked.install(monkeypatch)
        with pytest.raises(EdgeError, match=f"belongs to the checkout {other}; run `make down` there"):
            containers.claim_name(settings, Console(io.StringIO()))
        containers.remove_network(settings)
        assert asked.changes == []


def test_a_network_of_that_name_which_is_no_labs_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Engine("", "null")
    asked.install(monkeypatch)
    with pytest.raises(EdgeError, match="not a lab's"):
        containers.ensure_network(settings)
    assert asked.changes == []


def test_what_has_a_name_counts_and_rubbish_does_not() -> None:
    assert containers.named(
        "theirs\n", f"data\n{'0a' * 32}\n", "<none>:<none>\npostgres:16\nredis:<none>\n"
    ) == ["container theirs", "volume data", "image postgres:16", "image redis:<none>"]
    assert containers.named("", "", "<none>:<none>\n") == []


def test_own_images_are_those_under_the_labs_name_and_in_its_depot() -> None:
    listed = (
        "10.0.0.2:5000/openvino/model_server\t2025.4.1-gpu\tsha256:1\n"
        "10.0.0.2:5000/openvino/model_server\t<none>\tsha256:2\n"
        "ovms-lab/store\ttrixie\t<none>\n"
        "ovms-lab-2/store\ttrixie\t<none>\n"
        "openvino/model_server\t2025.4.1-gpu\tsha256:3\n"
        "<none>\t<none>\t<none>\n"
    )
    assert teardown.own_images(listed, "ovms-lab", ["10.0.0.2:5000"]) == [
        "10.0.0.2:5000/openvino/model_server:2025.4.1-gpu",
        "10.0.0.2:5000/openvino/model_server@sha256:2",
        "ovms-lab/store:trixie",
    ]


def test_a_stopped_engine_that_is_not_ours_keeps_the_record(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "answers", lambda: False)
    monkeypatch.setattr(teardown.shutil, "which", lambda program: f"/usr/bin/{program}")
    engine.note(settings, used=True)
    with pytest.raises(EdgeError, match="does not answer"):
        teardown.down_all(settings, Console(io.StringIO()))
    assert settings.home.exists()


@pytest.mark.parametrize("left", [["volume theirs"], []])
def test_an_engine_in_which_others_have_something_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, left: list[str]
) -> None:
    done: list[str] = []
    engine.note(settings, started=True)
    files.write(settings.home / "depot" / "password", "x")
    for module, name, answer in (
        (engine, "answers", True),
        (containers, "states", {}),
        (containers, "remove_network", None),
        (teardown, "_remove_images_and_volume", None),
        (containers, "contents", left),
    ):
        monkeypatch.setattr(module, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(engine, "stop", lambda _: done.append("stop"))
    monkeypatch.setattr(engine, "remove_data", lambda _: done.append("remove data"))
    monkeypatch.setattr(host_packages, "installed_by_lab", lambda _: ["docker.io"])
    monkeypatch.setattr(host_packages, "purge", lambda _: done.append("purge") or [])
    output = io.StringIO()
    teardown.down_all(settings, Console(output))
    if left:
        assert done == []
        assert [path.name for path in settings.home.iterdir()] == ["host"]
        assert engine.started_by_lab(settings)
        assert "volume theirs" in output.getvalue()
    else:
        assert done == ["stop", "purge", "remove data"]
        assert not settings.home.exists()


def test_the_depots_ca_goes_wherever_it_was_put(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(depot, "_TRUST", tmp_path / "certs.d")
    files.write(keys.depot_ca(settings), "ours")
    elsewhere = Settings.from_environment(settings.project, {"OVMS_LAB_SUBNET": "10.9.8.0/24"})
    files.write(depot.host_trust(elsewhere), "of a lab that is gone")
    depot.trust_on_host(elsewhere)
    assert depot.registries(settings) == {"10.213.77.2:5000", "10.9.8.2:5000"}
    depot.distrust_on_host(settings)
    made.remove(settings)
    assert not (tmp_path / "certs.d").exists()


def test_a_ca_that_is_not_ours_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(depot, "_TRUST", tmp_path / "certs.d")
    files.write(keys.depot_ca(settings), "ours")
    files.write(depot.host_trust(settings), "theirs")
    depot.distrust_on_host(settings)
    assert depot.host_trust(settings).read_text() == "theirs"


def test_a_store_on_record_takes_no_other_checkouts_container_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(containers, "states", lambda _: {})
    monkeypatch.setattr(store, "docker", lambda *words: asked.append(words))
    store.define(settings, "store-001", settings.inventory)
    store.remove(settings, "store-001")
    assert asked == []
    assert store.known(settings) == {}
