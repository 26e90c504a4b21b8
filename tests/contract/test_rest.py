"""ovms-facts 4.1, 4.2: start order, endpoints, states."""

import re

import pytest

from tests.contract.support import AVAILABLE, FAILED, Container, Ovms

pytestmark = pytest.mark.lab
NOT_FOUND = {"error": "Model with requested name is not found"}


def quoted(name: str) -> str:
    return name.replace("/", "%2F")


def test_http_answers_before_the_model_is_loaded(main: Container) -> None:
    assert [note for note in main.seen if note["ready"] == 500]


@pytest.mark.parametrize(("what", "said"), [("live", 200), ("config", "{}"), ("model", 404), ("chat", 404)])
def test_while_loading_nothing_is_listed(single: Container, what: str, said: object) -> None:
    assert {note[what] for note in single.seen if note["ready"] == 500} == {said}


def test_live_is_200_with_an_empty_body(server: Ovms) -> None:
    answer = server.get("/v2/health/live")

    assert (answer.status_code, answer.text) == (200, "")


def test_ready_is_200_though_a_graph_failed(main: Container) -> None:
    assert main.server.statuses()["bad"] == FAILED
    assert main.server.get("/v2/health/ready").status_code == 200


def test_a_loaded_graph_is_available_with_version_1(server: Ovms) -> None:
    assert server.statuses()[server.model] == AVAILABLE


def test_model_status_wants_the_slash_quoted(server: Ovms) -> None:
    answer = server.get(f"/v1/models/{quoted(server.model)}")

    assert (answer.status_code, answer.json()) == (200, {"model_version_status": AVAILABLE})


def test_model_status_of_a_failed_graph(main: Container) -> None:
    assert main.server.get("/v1/models/bad").json() == {"model_version_status": FAILED}


@pytest.mark.parametrize("path", ["/v1/models/unknown", "/v1/models"])
def test_model_status_of_an_unknown_name_is_404(server: Ovms, path: str) -> None:
    answer = server.get(path)

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", ["/v1/models/a/b", "/v2/models", "/v2/models/a/b/ready", "/nothing", "/"])
def test_an_unknown_url_is_400(server: Ovms, path: str) -> None:
    answer = server.get(path)

    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid request URL"})


def test_model_ready_is_200_when_it_is(server: Ovms) -> None:
    assert server.get(f"/v2/models/{quoted(server.model)}/ready").status_code == 200


@pytest.mark.parametrize("name", ["bad", "unknown"])
def test_model_ready_is_404_when_it_is_not(main: Container, name: str) -> None:
    assert main.server.get(f"/v2/models/{name}/ready").status_code == 404


def test_server_metadata_names_server_and_version(server: Ovms) -> None:
    about = server.get("/v2").json()

    assert about["name"] == "OpenVINO Model Server"
    assert re.match(r"\d+\.\d+", about["version"])


@pytest.mark.parametrize("path", ["/v3/models", "/v3/v1/models"])
def test_the_list_of_models_has_what_is_available(server: Ovms, path: str) -> None:
    answer = server.get(path)
    entries = [entry for entry in answer.json()["data"] if entry["id"] == server.model]

    assert answer.text.count('"object":"list"') == 2
    assert [(entry["object"], entry["owned_by"]) for entry in entries] == [("model", "OVMS")]


def test_the_list_of_models_leaves_out_a_failed_graph(main: Container) -> None:
    assert [entry["id"] for entry in main.server.get("/v3/models").json()["data"]] == [main.server.model]


@pytest.mark.parametrize("quote", [True, False])
def test_one_model_is_retrieved_with_or_without_a_quoted_slash(server: Ovms, quote: bool) -> None:
    answer = server.get(f"/v3/models/{quoted(server.model) if quote else server.model}")

    assert (answer.status_code, answer.json()["id"]) == (200, server.model)


def test_an_unknown_model_is_retrieved_with_500(server: Ovms) -> None:
    answer = server.get("/v3/models/unknown")

    assert (answer.status_code, answer.json()) == (500, {"error": "Model not found"})


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_406(server: Ovms, method: str) -> None:
    assert server.get("/v1/config", method).status_code == 406


@pytest.mark.parametrize("path", ["/v1/config", "/v2/health/ready", "/v2", "/metrics"])
def test_posting_to_what_is_read_is_406(server: Ovms, path: str) -> None:
    assert server.post(path, {}).status_code == 406


def test_reading_what_is_posted_to_is_406(server: Ovms) -> None:
    assert server.get("/v1/config/reload").status_code == 406


def test_metrics_are_plain_text(main: Container) -> None:
    answer = main.server.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_any_origin_is_allowed_by_default(server: Ovms) -> None:
    answer = server.get("/v1/config", "OPTIONS")

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


def test_a_directory_without_graph_is_no_graph(main: Container) -> None:
    assert main.server.get("/v1/models/without-graph").json() == {"model_version_status": []}
