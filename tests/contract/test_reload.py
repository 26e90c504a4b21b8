"""ovms-facts 4.3, 4.4: what a reload does, and what it does not notice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.contract.support import (
    AVAILABLE,
    FAILED,
    RETIRED,
    START_SECONDS,
    Container,
    config_of,
    graph,
    start,
    write_models,
)

pytestmark = pytest.mark.lab
CONFIG = ("--config_path", "/models/config.json")
BAD = graph("block_size: 1")
FAILED_BODY = {"error": "Reloading config file failed. Check server logs for more info."}


class Fleet:
    """A server whose configuration the tests change; ``n`` makes each config.json new."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.n = 0

    def configure(self, graphs: dict[str, str], *names: str) -> None:
        """Write graphs and a config.json that names them, with other bytes than before."""
        self.n += 1
        write_models(self.container.models, config_of(*(names or graphs)), graphs)
        file = self.container.models / "config.json"
        file.write_text(file.read_text() + " " * self.n)

    def reload(self) -> requests.Response:
        return self.container.server.post("/v1/config/reload", {})

    def statuses(self) -> dict[str, object]:
        return self.container.server.statuses()


@pytest.fixture(scope="module")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    models = tmp_path_factory.mktemp("reload")
    write_models(models, config_of("a"), {"a": graph()})
    container = start(models, *CONFIG, "--file_system_poll_wait_seconds", "0", "--metrics_enable")
    try:
        container.wait_until_loaded()
        yield container
    finally:
        container.remove()


@pytest.fixture
def fleet(running: Container) -> Fleet:
    """Serves ``a`` alone when a test starts."""
    fleet = _FLEETS.setdefault(running.id, Fleet(running))
    fleet.configure({"a": graph()})
    assert fleet.reload().status_code in (200, 201)
    assert fleet.statuses()["a"] == AVAILABLE
    return fleet


_FLEETS: dict[str, Fleet] = {}


def test_nothing_to_do_is_200_with_the_state(fleet: Fleet) -> None:
    answer = fleet.reload()

    assert answer.status_code == 200
    assert answer.json()["a"] == {"model_version_status": AVAILABLE}


def test_a_reload_that_did_something_is_200_or_201(fleet: Fleet) -> None:
    fleet.configure({"a": graph("max_tokens_limit: 50")})

    assert fleet.reload().status_code in (200, 201)
    assert fleet.container.server.chat(model="a", max_tokens=50, max_completion_tokens=...).status_code == 400


@pytest.mark.parametrize("text", ["{", '{"models": []}'])
def test_bad_json_is_412_and_changes_nothing(fleet: Fleet, text: str) -> None:
    (fleet.container.models / "config.json").write_text(text)
    answer = fleet.reload()

    assert (answer.status_code, answer.json()) == (412, FAILED_BODY)
    assert fleet.statuses()["a"] == AVAILABLE
    assert fleet.container.server.chat(model="a").status_code == 200


def test_an_unreadable_config_is_500(fleet: Fleet) -> None:
    (fleet.container.models / "config.json").unlink()
    answer = fleet.reload()

    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "Config file not found or cannot open."},
    )


def test_a_bad_new_graph_is_500_and_the_old_one_is_gone(fleet: Fleet) -> None:
    fleet.configure({"a": BAD})
    answer = fleet.reload()

    assert (answer.status_code, answer.json()) == (500, FAILED_BODY)
    assert fleet.statuses()["a"] == FAILED
    assert fleet.container.server.chat(model="a").json() == {"error": "Mediapipe is not loaded yet"}


def test_a_changed_graph_alone_is_not_noticed(fleet: Fleet) -> None:
    (fleet.container.models / "a/graph.pbtxt").write_text(BAD)

    assert fleet.reload().status_code == 200
    assert fleet.statuses()["a"] == AVAILABLE


def test_a_failed_graph_is_not_retried_until_its_bytes_change(fleet: Fleet) -> None:
    waiting = graph(models_path="/models/late")
    fleet.configure({"a": waiting})
    assert fleet.reload().status_code == 500
    _link_model(fleet.container.models / "late", fleet.container)
    fleet.configure({"a": waiting})

    assert fleet.reload().status_code in (200, 201)
    assert fleet.statuses()["a"] == FAILED

    fleet.configure({"a": waiting + "\n"})
    fleet.reload()
    assert fleet.statuses()["a"] == AVAILABLE


def _link_model(target: Path, container: Container) -> None:
    target.symlink_to("/weights")  # it leads somewhere only inside the container
    assert container.execute("test", "-d", "/models/late") == 0


def test_a_removed_entry_is_retired_and_answers_404(fleet: Fleet) -> None:
    fleet.configure({"b": BAD})
    fleet.reload()
    answer = fleet.container.server.chat(model="a")

    assert fleet.statuses() == {**fleet.statuses(), "a": RETIRED}
    assert (answer.status_code, answer.json()) == (404, {"error": "Mediapipe is retired"})


def test_a_retired_graph_can_come_back(fleet: Fleet) -> None:
    fleet.configure({}, "nothing")
    fleet.reload()
    assert fleet.statuses()["a"] == RETIRED

    fleet.configure({"a": graph()})
    fleet.reload()
    assert fleet.statuses()["a"] == AVAILABLE


def test_a_graph_that_stays_as_it_was_is_not_loaded_again(fleet: Fleet) -> None:
    fleet.configure({"a": graph(), "b": BAD})
    started = time.monotonic()
    loads = _loads(fleet.container)
    fleet.reload()

    assert _loads(fleet.container) == loads, f"loaded again within {time.monotonic() - started} s"


def _loads(container: Container) -> int:
    return container.logs().count("Initializing Visual Language Model Continuous Batching servable")


def test_requests_during_a_reload_are_answered_500_after_half_a_second(fleet: Fleet) -> None:
    fleet.configure({"a": graph("cache_size: 1")})
    reload = threading.Thread(target=fleet.reload)
    reload.start()
    answers = []
    while reload.is_alive():
        asked = time.monotonic()
        answer = fleet.container.server.chat(model="a")
        answers.append((answer.status_code, answer.json(), time.monotonic() - asked))
    reload.join()

    refused = [(body, seconds) for status, body, seconds in answers if status == 500]
    assert refused
    assert all(body == {"error": "Mediapipe is not loaded yet"} for body, _ in refused)
    # One at most had its graph already when the reload took it away, and is refused without a wait.
    assert sum(seconds < 0.4 for _, seconds in refused) <= 1
    assert any(seconds >= 0.4 for _, seconds in refused)


def test_while_reloading_the_state_is_loading_without_error(fleet: Fleet) -> None:
    fleet.configure({"a": graph("cache_size: 2")})
    reload = threading.Thread(target=fleet.reload)
    reload.start()
    seen = []
    while reload.is_alive():
        seen += [(entry["state"], entry["status"]["error_code"]) for entry in fleet.statuses()["a"]]  # type: ignore[attr-defined]
    reload.join()

    assert ("LOADING", "OK") in seen


def test_requests_in_flight_are_finished_by_the_old_graph(fleet: Fleet) -> None:
    server = fleet.container.server
    answers: list[requests.Response] = []
    long = threading.Thread(
        target=lambda: answers.append(
            server.chat(model="a", max_completion_tokens=400, ignore_eos=True, temperature=1)
        )
    )
    long.start()
    deadline = time.monotonic() + 10
    while not server.in_flight("a"):
        assert time.monotonic() < deadline, "the request never got into the graph"
    fleet.configure({"a": BAD})
    fleet.reload()
    long.join()

    assert [answer.status_code for answer in answers] == [200]
    assert answers[0].json()["usage"]["completion_tokens"] == 400


def test_the_watcher_reloads_by_itself(model: Path, tmp_path: Path) -> None:
    write_models(tmp_path, config_of("a"), {"a": BAD})
    container = start(tmp_path, *CONFIG)  # the default: every second
    try:
        container.wait_until_loaded()
        write_models(tmp_path, config_of("b"), {"b": BAD})
        deadline = time.monotonic() + START_SECONDS
        while container.server.statuses() != {"a": RETIRED, "b": FAILED}:
            assert time.monotonic() < deadline, container.logs()
            time.sleep(0.1)
    finally:
        container.remove()


def test_poll_0_means_no_watcher(fleet: Fleet) -> None:
    fleet.configure({"a": BAD})
    deadline = time.monotonic() + 2.5  # twice the default interval and more
    while time.monotonic() < deadline:
        assert fleet.statuses()["a"] == AVAILABLE
        time.sleep(0.1)
