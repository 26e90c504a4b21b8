"""ovms-facts 1: the command line."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.support import AT_ONCE, NAME, Container, config_of, run, start, write_models

pytestmark = pytest.mark.lab
EX_USAGE = 64
CONFIG = ("--config_path", "/models/config.json")
SINGLE = ("--model_path", "/models/a", "--model_name", "a")


WRONG = [
    (CONFIG, "port and rest_port cannot both be unset"),
    ((*CONFIG, "--port", "8000", "--rest_port", "8000"), "cannot have the same values"),
    ((*CONFIG, "--rest_port", "65536"), "out of range"),
    ((*CONFIG, "--rest_port", "-1"), "error parsing options"),
    ((*CONFIG, *SINGLE, "--rest_port", "8000"), "Use either config_path or model_path"),
    (("--rest_port", "8000"), "Use config_path or model_path"),
    (("--rest_port", "8000", "--model_name", "a"), "Use config_path or model_path"),
    ((*CONFIG, "--rest_port", "8000", "--target_device", "GPU"), "exclusive with the config file"),
    ((*CONFIG, "--rest_port", "8000", "--log_level", "LOUD"), "log_level should be one of"),
    ((*CONFIG, "--rest_port", "8000", "--rest_workers", "1"), "rest_workers count"),
    ((*CONFIG, "--port", "9000", "--rest_workers", "2"), "rest_port is not set"),
    ((*CONFIG, "--rest_port", "8000", "--rest_bind_address", "no such host"), "invalid format"),
    ((*CONFIG, "--port", "9000", "--metrics_enable"), "rest_port setting is missing"),
    ((*CONFIG, "--rest_port", "8000", "--metrics_list", "ovms_streams"), "metrics_enable"),
    ((*CONFIG, "--rest_port", "8000", "--grpc_workers", "0"), "grpc_workers count"),
    (
        (*CONFIG, "--rest_port", "8000", "--allowed_media_domains", "example.org"),
        "error parsing options - unmatched arguments: --allowed_media_domains",
    ),
    (
        (*CONFIG, "--rest_port", "8000", "--no_such_flag"),
        "error parsing options - unmatched arguments: --no_such_flag",
    ),
]


@pytest.fixture(scope="module")
def outcomes(image: str) -> dict[tuple[str, ...], tuple[int, str]]:
    """Exit status and output of every wrong command line, tried side by side."""
    lines = [arguments for arguments, _ in WRONG]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(lines, pool.map(lambda arguments: run(*arguments), lines), strict=True))


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_a_wrong_command_line_is_a_usage_error(
    outcomes: dict[tuple[str, ...], tuple[int, str]], arguments: tuple[str, ...], says: str
) -> None:
    status, output = outcomes[arguments]

    assert (status, says in output) == (EX_USAGE, True), output


def test_an_unreadable_api_key_file_ends_the_start(image: str) -> None:
    status, output = run(*CONFIG, "--rest_port", "8000", "--api_key_file", "/no/such/key")

    assert status not in (0, EX_USAGE)
    assert "Error reading API key file" in output


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_asking_for_help_or_version_succeeds(image: str, flag: str) -> None:
    status, output = run(flag)

    assert status == 0
    assert "OpenVINO Model Server" in output


def test_port_does_not_serve_http(model: Path, tmp_path: Path) -> None:
    write_models(tmp_path, config_of(), {})
    container = start(tmp_path, *CONFIG, "--port", "9000")
    try:
        container.wait_until_loaded()
        assert container.execute("curl", "--fail", "--silent", "127.0.0.1:9000/v2/health/live") != 0
        assert container.execute("curl", "--fail", "--silent", "127.0.0.1:8000/v2/health/live") == 0
    finally:
        container.remove()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1,127.0.0.2"])
def test_rest_bind_address_limits_who_is_answered(model: Path, tmp_path: Path, host: str) -> None:
    write_models(tmp_path, config_of(), {})
    container = start(tmp_path, *CONFIG, "--rest_bind_address", host)
    try:
        container.wait_for_log("REST server listening")
        assert not container.answers()  # the published port leads to another address
        assert container.execute("curl", "--fail", "--silent", "127.0.0.1:8000/v2/health/live") == 0
    finally:
        container.remove()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/config"), ("GET", "/v3/models"), ("GET", "/v2/health/ready")]
)
def test_the_api_key_does_not_guard_reading(single: Container, method: str, path: str) -> None:
    assert single.server.get(path, method).status_code == 200


@pytest.mark.parametrize("authorization", ["Bearer wrong", "contract-key", "bearer contract-key", ""])
def test_a_wrong_api_key_is_answered_with_500(single: Container, authorization: str) -> None:
    answer = single.server.post("/v3/chat/completions", {"model": "single"}, Authorization=authorization)

    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "Unauthorized request due to invalid or missing api-key"},
    )


def test_the_first_line_of_the_key_file_counts_without_trailing_blanks(single: Container) -> None:
    assert single.server.chat(max_completion_tokens=1).status_code == 200


def test_the_api_key_can_come_from_the_environment(model: Path, tmp_path: Path) -> None:
    write_models(tmp_path, config_of(), {})
    container = start(tmp_path, *CONFIG, options=("--env", "API_KEY=from-environment"))
    try:
        container.wait_until_loaded()
        answer = container.server.post("/v3/chat/completions", {"model": NAME})
        assert answer.status_code == 500
        allowed = container.server.post(
            "/v3/chat/completions", {"model": NAME}, Authorization="Bearer from-environment"
        )
        assert allowed.status_code == 404
    finally:
        container.remove()


def test_model_path_finds_a_graph_in_version_directory_1(single: Container) -> None:
    assert list(single.server.statuses()) == ["single"]


def test_sigterm_ends_the_server_with_status_0(model: Path, tmp_path: Path) -> None:
    write_models(tmp_path, config_of(), {})
    container = start(tmp_path, *CONFIG)
    try:
        container.wait_until_loaded()
        container.signal("TERM")
        assert container.wait_for_exit(10) == 0
    finally:
        container.remove()


def test_the_log_lists_the_devices(main: Container) -> None:
    assert "Available devices for Open VINO: CPU" in main.logs()
