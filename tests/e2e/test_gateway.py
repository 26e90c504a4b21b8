"""Role ``ovms_gateway`` on stores of the lab: a real HAProxy, and two servers where OVMS's slots would be."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import fault_store
from tests.e2e.fault_store import FaultStore, Run
from tests.e2e.gateway_client import CHAT, Answer, Asked, Client, Load, slot_of

pytestmark = pytest.mark.lab

UPSTREAM = Path(__file__).with_name("gateway_upstream.py")
KEY, OTHER_KEY = "first-key-of-the-gateway-tests", "second-key-of-the-gateway-tests"
SLOTS = {"a": "172.31.253.2", "b": "172.31.253.3"}
CONFIG = "/etc/ovms-edge/gateway"
RUN = "/run/ovms-edge-gateway"
ROUTE = f"{RUN}/route"
PLAY = """---
# The role alone.
- name: Run the gateway
  hosts: stores
  gather_facts: false
  become: true
  roles:
    - role: ovms.edge.ovms_gateway
"""
INPUTS = {
    "ovms_gateway_bind_address": "0.0.0.0",  # noqa: S104 - in a store, as its clients need it
    "ovms_gateway_allow_plain": True,
    "ovms_gateway_metrics_address": "0.0.0.0:8405",
    "ovms_gateway_timeout_seconds": 300,
    "ovms_gateway_api_keys": [{"name": "till-1", "key": KEY}],
}
LARGE = 20_000_000
SHOW_INFO = f"""
import socket
admin = socket.socket(socket.AF_UNIX)
admin.connect("{RUN}/admin.sock")
admin.sendall(b"show info\\n")
print(admin.makefile().read())
"""
ASK_THE_SOCKET = f"""
import http.client, socket, sys
connection = http.client.HTTPConnection("ovms-vlm")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("{RUN}/apps/http.sock")
connection.request("GET", "/v1/config", headers={{"Authorization": "Bearer " + sys.argv[1]}})
print(connection.getresponse().status)
"""
ASK_BY_TLS = """
import ssl, sys, urllib.request
trust = ssl.create_default_context(cafile=sys.argv[2])
print(urllib.request.urlopen(sys.argv[1] + "/health", context=trust).status)
"""
DEBIANS = ("12", "13")
DEADLINE_SECONDS = 15.0
# What a question that was held takes longer than one that was not, once a model is served.
RELEASE_SECONDS = 0.1


def until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not wanted():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


@dataclass
class Gateway:
    store: FaultStore
    address: str
    play_file: Path
    runs: dict[str, Run] = field(default_factory=dict)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}:8002"

    def client(self, key: str | None = KEY, keep: bool = False) -> Client:
        return Client(self.url, key, keep)

    def play_all(self, *options: str, **inputs: Any) -> Run:
        return self.store.playbook(str(self.play_file), *options, **{**INPUTS, **inputs})

    def play(self, **inputs: Any) -> Run:
        return self.play_all("-l", self.store.name, **inputs)

    def changed(self, run: Run) -> int:
        return changed(run, self.store.name)

    def release_seconds(self, asks: list[Callable[[], Answer]], slot: str) -> float:
        """Hold these questions, release them to a slot, and return what the last answer took from then on."""
        self.route("hold")
        questions = [Asked(ask) for ask in asks]
        self.until_waiting(len(asks))
        assert all(question.pending for question in questions)
        released = self.route(slot)
        answers = [question.result() for question in questions]
        assert {slot_of(answer) for answer in answers} == {slot}
        return max(answer.ended for answer in answers) - released

    def route(self, word: str) -> float:
        """Route as ovms-node does; returns when it was done (time.time(), the lab's hosts share a clock)."""
        script = f"echo {word} > {ROUTE}.new; mv {ROUTE}.new {ROUTE}; date +%s.%N"
        return float(self.store.shell(script))

    def health(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}:8002/health", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def start(self, slot: str) -> None:
        run = (
            f"systemd-run -q --collect --unit upstream-{slot} python3 /root/upstream.py {SLOTS[slot]} {slot}"
        )
        self.store.shell(run)

    def stop(self, slot: str) -> None:
        self.store.shell(f"systemctl kill -s KILL upstream-{slot}; systemctl stop upstream-{slot} || true")

    def up(self, slot: str) -> None:
        """Route to a slot and wait until it answers."""
        self.route(slot)
        until(lambda: self.health() == (200, f"{slot}\n"), f"slot {slot} is up")

    def metric(self, name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://{self.address}:8405/metrics", timeout=5) as answer:
            text = answer.read().decode()
        for line in text.splitlines():
            if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name} {labels}")

    def until_waiting(self, count: int) -> None:
        def waiting() -> bool:
            return self.metric("haproxy_backend_current_sessions", proxy="ovms") == count

        until(waiting, f"{count} requests wait or are answered")

    def log(self, since: str) -> str:
        return self.store.shell(f"journalctl -u ovms-edge-gateway -o cat --no-pager --since @{since}")

    def now(self) -> str:
        return self.store.shell("date +%s").strip()

    def pids(self) -> tuple[str, str]:
        """Return the pid of the gateway's master and of the worker that takes new connections."""
        main = self.store.shell("systemctl show -P MainPID ovms-edge-gateway").strip()
        found = re.search(r"(?m)^Pid: (\d+)$", self.store.run("python3", "-c", SHOW_INFO))
        assert found
        return main, found[1]

    def reload(self) -> None:
        before = self.pids()
        self.store.shell("systemctl reload ovms-edge-gateway")
        until(lambda: self.pids() != before, "another worker")
        assert self.pids()[0] == before[0]


def changed(run: Run, host: str) -> int:
    assert run.status == 0, run.output
    assert KEY not in run.output
    found = re.search(rf"(?m)^{host} .*changed=(\d+)", run.output)
    assert found, run.output
    return int(found[1])


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Gateway]]:
    """One store for each Debian, set up by the same runs."""
    directory = tmp_path_factory.mktemp("gateway")
    inventory, play = directory / "inventory", directory / "play.yml"
    play.write_text(PLAY)
    names = {debian: f"gateway-{debian}" for debian in DEBIANS}
    try:
        for debian, name in names.items():
            made = ("--debian", debian, "--memory-gib", "16", "--inventory", str(inventory))
            fault_store.lab("add", name, *made)
        hosts = yaml.safe_load((inventory / "hosts.yml").read_text())["stores"]["hosts"]
        runs: dict[str, Run] = {}
        found = {
            debian: Gateway(FaultStore(name, inventory), hosts[name]["ansible_host"], play, runs)
            for debian, name in names.items()
        }
        one = next(iter(found.values()))
        runs["bare"] = one.play_all("--check", "--diff")
        there = "ls -d /etc/ovms-edge /usr/sbin/haproxy 2>/dev/null || true"
        runs["left"] = Run(0, "".join(gateway.store.shell(there) for gateway in found.values()))
        runs["first"] = one.play_all()
        runs["second"] = one.play_all()
        runs["check"] = one.play_all("--check")
        encoded = base64.b64encode(UPSTREAM.read_bytes()).decode()
        for gateway in found.values():
            gateway.store.shell(f"echo {encoded} | base64 -d > /root/upstream.py")
            for slot, address in SLOTS.items():
                gateway.store.shell(f"ip address add {address}/32 dev lo")
                gateway.start(slot)
        yield found
    finally:
        for name in names.values():
            fault_store.lab("remove", name)


@pytest.fixture(scope="module", params=DEBIANS, ids=[f"debian{debian}" for debian in DEBIANS])
def gateway(request: pytest.FixtureRequest, gateways: dict[str, Gateway]) -> Gateway:
    return gateways[request.param]


# --- as a role ---------------------------------------------------------------------------------------------


def test_a_dry_run_on_a_bare_host_changes_nothing(gateway: Gateway) -> None:
    assert gateway.changed(gateway.runs["bare"]) > 0
    assert gateway.runs["left"].output == ""


def test_the_second_run_changes_nothing(gateway: Gateway) -> None:
    assert gateway.changed(gateway.runs["first"]) > 0
    assert gateway.changed(gateway.runs["second"]) == 0
    assert gateway.changed(gateway.runs["check"]) == 0


def test_the_packages_own_service_is_not_started(gateway: Gateway) -> None:
    states = gateway.store.shell("systemctl is-active haproxy; systemctl is-enabled haproxy; true").split()
    assert states == ["inactive", "disabled"]


def test_no_key_is_on_the_disk_and_the_timeouts_are_those_asked_for(gateway: Gateway) -> None:
    assert KEY not in gateway.store.shell(f"cat {CONFIG}/* /etc/ovms-edge/gateway.json")
    assert gateway.store.shell(f"stat -c '%a %U:%G' {CONFIG}/keys").strip() == "640 root:haproxy"
    config = gateway.store.shell(f"cat {CONFIG}/haproxy.cfg")
    assert [f"timeout {name} 300s" in config for name in ("client", "server", "queue")] == [True] * 3


# --- the route ---------------------------------------------------------------------------------------------


def test_until_there_is_a_route_everything_is_held(gateway: Gateway) -> None:
    assert gateway.health() == (503, "hold\n")
    question = Asked(gateway.client().ask)
    gateway.until_waiting(1)
    gateway.route("nonsense")
    assert gateway.health() == (503, "hold\n")
    assert question.pending
    gateway.route("a")
    assert slot_of(question.result()) == "a"


def test_flips_and_reloads_under_load_fail_no_request(gateway: Gateway) -> None:
    stream = {"stream": True, "seconds": 0.15, "chunks": 5}
    clients = [
        *((gateway.client(keep=keep), dict(stream)) for keep in (True, False)),
        *((gateway.client(keep=keep), {"seconds": 0.02}) for keep in (True, True, False)),
        (gateway.client(keep=True), {"padding": 2_000_000}),
    ]
    flip = f"for slot in b a; do echo $slot > {ROUTE}.new; mv {ROUTE}.new {ROUTE}; sleep 0.1; done"
    with Load(clients) as load:
        gateway.store.shell(f"for i in $(seq 12); do {flip}; done")
        gateway.store.shell(f"for i in 1 2 3; do {flip}; systemctl reload ovms-edge-gateway; {flip}; done")
    assert load.failures == []
    assert len(load.slots) > 100
    assert min(load.slots.count("a"), load.slots.count("b")) > 20


def test_a_slot_without_a_route_is_without_connections(gateway: Gateway) -> None:
    client = gateway.client(keep=True)
    gateway.up("a")
    assert slot_of(client.ask()) == "a"
    # The address and port in /proc/net/tcp, and the state ESTABLISHED.
    established = "grep -c ' 02FD1FAC:1F40 01 ' /proc/net/tcp || true"
    until(lambda: gateway.store.shell(established).strip() == "0", "no connection to a")
    gateway.up("b")
    assert slot_of(client.ask()) == "b"


@pytest.mark.alone
def test_what_is_held_is_answered_at_once_by_the_slot_of_that_moment(gateway: Gateway) -> None:
    kept = gateway.client(keep=True)
    gateway.up("a")
    assert slot_of(kept.ask()) == "a"
    stream = partial(gateway.client().ask, stream=True, seconds=0, chunks=3)
    asks = [kept.ask, stream, gateway.client().ask]
    # The best of three: the machine has other things to do too.
    assert min(gateway.release_seconds(asks, slot) for slot in ("b", "a", "b")) < RELEASE_SECONDS
    large = partial(gateway.client().ask, padding=5_000_000)
    assert gateway.release_seconds([*asks, large], "a") < DEADLINE_SECONDS


def test_what_is_held_outlives_a_reload_even_for_a_slot_that_was_down(gateway: Gateway) -> None:
    """The old HAProxy checks no server any more: it has to find out itself that b came back."""
    gateway.up("a")
    gateway.route("hold")
    gateway.stop("b")
    until(
        lambda: gateway.metric("haproxy_server_status", proxy="ovms", server="b", state="UP") == 0, "b down"
    )
    held = [Asked(gateway.client(keep=keep).ask) for keep in (True, False)]
    gateway.until_waiting(2)
    gateway.reload()
    later = Asked(gateway.client().ask)
    gateway.until_waiting(1)
    gateway.start("b")
    until(lambda: gateway.metric("haproxy_server_status", proxy="ovms", server="b", state="UP") == 1, "b up")
    gateway.route("b")
    assert {slot_of(question.result()) for question in (*held, later)} == {"b"}


def test_an_answer_outlives_a_reload(gateway: Gateway) -> None:
    gateway.up("a")
    question = Asked(partial(gateway.client(keep=True).ask, stream=True, seconds=1.5, chunks=15))
    gateway.until_waiting(1)
    gateway.reload()
    assert slot_of(question.result()) == "a"


def test_requests_wait_for_a_server_that_went_and_came_back(gateway: Gateway) -> None:
    gateway.up("a")
    gateway.stop("a")
    # The first comes before the gateway has noticed, perhaps; the second after.
    first = Asked(gateway.client().ask)
    until(lambda: gateway.health() == (503, "down\n"), "a is down")
    second = Asked(gateway.client().ask)
    gateway.until_waiting(2)
    assert first.pending
    assert second.pending
    gateway.start("a")
    assert [slot_of(question.result()) for question in (first, second)] == ["a", "a"]


def test_a_question_about_the_server_waits_for_no_answer_in_the_works(gateway: Gateway) -> None:
    gateway.up("a")
    questions = [Asked(partial(gateway.client().ask, seconds=1)) for _ in range(6)]
    gateway.until_waiting(6)
    assert gateway.client().request("GET", "/v1/config").status == 200
    assert all(question.pending for question in questions)
    assert max(question.result().json()["most_at_once"] for question in questions) <= 4


@pytest.mark.parametrize(("promised", "sent"), [(2, 2), (5_000_000, 50_000)], ids=["all", "part"])
def test_a_client_that_goes_away_leaves_its_place_in_the_queue(
    gateway: Gateway, promised: int, sent: int
) -> None:
    gateway.up("a")
    gateway.route("hold")
    connection = gateway.client().connection()
    headers = {**gateway.client().headers(), "Content-Length": str(promised)}
    connection.request("POST", CHAT, b"{}" + b" " * (sent - 2), headers)
    gateway.until_waiting(1)
    connection.close()
    gateway.until_waiting(0)
    gateway.route("a")
    assert slot_of(gateway.client().ask()) == "a"


# --- answers, keys, log ------------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_stream_comes_through_as_it_is_made(gateway: Gateway) -> None:
    gateway.up("a")
    arrivals = gateway.client().arrivals(seconds=1.0, chunks=5)
    assert len(arrivals) == 6
    assert [round(at / 0.2) for at in arrivals] == [1, 2, 3, 4, 5, 5]


def test_ovms_never_sees_the_key(gateway: Gateway) -> None:
    gateway.up("a")
    assert "authorization" not in gateway.client().ask().json()["headers"]


@pytest.mark.parametrize(("method", "path", "status"), [
    ("POST", CHAT, 200),
    ("GET", "/v3/models", 200),
    ("GET", "/v3/models/Qwen/Qwen2.5-VL", 200),
    ("GET", "/v1/config", 200),
    ("GET", "/v1/models/Qwen%2FQwen2.5-VL", 200),
    ("GET", "/v2", 200),
    ("GET", "/v2/health/live", 200),
    ("GET", "/v2/models/m/ready", 200),
    ("POST", "/v1/config/reload", 403),
    ("POST", "/v3/../v1/config/reload", 403),
    ("POST", "/v3/%2e%2e/v1/config/reload", 403),
    ("POST", "/v2/models/m/infer", 403),
    ("GET", "/metrics", 403),
    ("GET", "/v3/chat/completions", 403),
    ("GET", "/v1/models", 403),
    ("DELETE", "/v3/models", 403),
    ("OPTIONS", CHAT, 403),
    ("GET", "/", 403),
])  # fmt: skip
def test_only_what_applications_need_is_let_through(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    body = b"{}" if method == "POST" else None
    assert gateway.client().request(method, path, body).status == status
    assert gateway.client(None).request(method, path, body).status == 401


def test_the_socket_for_applications_on_the_host_is_the_same_gateway(gateway: Gateway) -> None:
    asked = [gateway.store.run("python3", "-c", ASK_THE_SOCKET, key) for key in (KEY, OTHER_KEY)]
    assert [status.strip() for status in asked] == ["200", "401"]


def test_keys_change_without_a_restart_or_a_reload(gateway: Gateway) -> None:
    gateway.up("a")
    before = gateway.pids()
    other = [{"name": "till-2", "key": OTHER_KEY}]
    try:
        assert gateway.changed(gateway.play(ovms_gateway_api_keys=other)) == 1
        assert [gateway.client(key).ask().status for key in (KEY, OTHER_KEY)] == [401, 200]
        assert gateway.pids() == before
        gateway.store.shell(f"mv {CONFIG}/keys {CONFIG}/keys.away")
        assert [gateway.client(key).ask().status for key in (KEY, OTHER_KEY, None)] == [500] * 3
    finally:
        assert gateway.changed(gateway.play()) == 1
    assert [gateway.client(key).ask().status for key in (KEY, OTHER_KEY)] == [200, 401]


def test_the_log_has_a_line_a_request_and_no_secret(gateway: Gateway) -> None:
    gateway.up("a")
    since, hostile = gateway.now(), '/v3/a"},{"key":"x\\\\'
    gateway.client().ask()
    gateway.client().request("GET", "/v1/config?token=in-the-query")
    with socket.create_connection((gateway.address, 8002), timeout=10) as raw:
        lines = (
            f"POST {hostile} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
        )
        raw.sendall(lines.encode() + b"GET /\xff\x00 HTTP/1.1\r\n\r\n")
        while raw.recv(65536):
            pass
    until(lambda: gateway.log(since).count('"time"') >= 4, "four lines")
    text = gateway.log(since)
    assert [secret in text for secret in (KEY, "very-secret-prompt", "in-the-query")] == [False] * 3
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    by_path = {line["path"]: line for line in found}
    assert (by_path[CHAT]["key"], by_path[CHAT]["slot"], by_path[CHAT]["status"]) == ("till-1", "a", 200)
    assert by_path["/v1/config"]["method"] == "GET"
    assert by_path[hostile]["key"] == "till-1"


def test_metrics_and_nothing_else_are_where_prometheus_looks(gateway: Gateway) -> None:
    assert gateway.metric("haproxy_frontend_http_requests_total", proxy="gateway") > 0
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{gateway.address}:8405/", timeout=5)


# --- refusals, over TLS with a certificate that the host made ----------------------------------------------


@pytest.fixture(scope="module")
def narrow(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """The same gateway with TLS, one request at a time, one that waits, and little patience."""
    assert gateway.changed(gateway.play(**NARROW)) > 0
    assert gateway.changed(gateway.play(**NARROW)) == 0
    ca = tmp_path_factory.mktemp("tls") / "certificate.pem"
    ca.write_text(gateway.store.shell(f"cat {CONFIG}/certificate.pem"))
    found = Narrow(gateway.store, gateway.address, gateway.play_file, scheme="https")
    found.tls = ssl.create_default_context(cafile=str(ca))
    found.route("a")
    return found


NARROW = {
    "ovms_gateway_allow_plain": False,
    "ovms_gateway_tls": True,
    "ovms_gateway_concurrency": 1,
    "ovms_gateway_queue": 1,
    "ovms_gateway_hold_seconds": 1,
    "ovms_gateway_max_body": "24m",
}


@dataclass
class Narrow(Gateway):
    tls: ssl.SSLContext | None = None

    def client(self, key: str | None = KEY, keep: bool = False) -> Client:
        return Client(self.url, key, keep, self.tls)


def chunks() -> Iterator[bytes]:
    for _ in range(200):
        yield b"x" * 100_000


def test_the_generated_certificate_is_good_for_the_address_and_the_hosts_own_use(narrow: Gateway) -> None:
    assert slot_of(narrow.client().ask()) == "a"
    settings = json.loads(narrow.store.shell("cat /etc/ovms-edge/gateway.json"))
    assert settings["url"] == "https://127.0.0.1:8002"
    ask = ("python3", "-c", ASK_BY_TLS, settings["url"], settings["ca_file"])
    assert narrow.store.run(*ask).strip() == "200"
    assert narrow.store.shell(f"stat -c '%a %U' {CONFIG}/tls.pem").strip() == "600 root"


def refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]


def test_refusals_reach_a_client_that_is_still_sending(narrow: Gateway) -> None:
    body = b"x" * LARGE
    unknown = narrow.client(OTHER_KEY).request("POST", CHAT, body)
    refused(unknown, 401)
    assert unknown.headers["www-authenticate"].startswith("Bearer")
    refused(narrow.client().request("POST", "/v1/config/reload", body), 403)
    refused(narrow.client().request("POST", CHAT, chunks()), 411)
    refused(narrow.client().request("POST", CHAT, b"x" * 30_000_000), 413)


def test_a_client_that_asks_first_is_refused_before_it_sends(narrow: Gateway) -> None:
    context = narrow.client(OTHER_KEY).connection()
    context.putrequest("POST", CHAT)
    context.putheader("Content-Length", str(LARGE))
    context.putheader("Expect", "100-continue")
    context.endheaders()
    assert context.getresponse().status == 401


def test_more_than_the_queue_takes_gets_429_with_retry_after(narrow: Gateway) -> None:
    served = Asked(partial(narrow.client().ask, seconds=1))
    narrow.until_waiting(1)
    queued = Asked(narrow.client().ask)
    narrow.until_waiting(2)
    answer = narrow.client().request("POST", CHAT, b"x" * LARGE)
    refused(answer, 429)
    assert int(answer.headers["retry-after"]) > 0
    assert [slot_of(question.result()) for question in (served, queued)] == ["a", "a"]


def test_a_hold_ends_with_503_and_retry_after(narrow: Gateway) -> None:
    narrow.route("hold")
    try:
        started = time.time()
        answer = narrow.client().request("POST", CHAT, b"x" * LARGE)
    finally:
        narrow.route("a")
    refused(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert 0.9 < answer.ended - started < 5


def test_a_given_certificate_is_served_and_a_wrong_key_never(narrow: Gateway, tmp_path: Path) -> None:
    pairs = []
    for name in ("one", "two"):
        key, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        subject = ["-subj", f"/CN={name}.example", "-addext", f"subjectAltName=DNS:{name}.example"]
        made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *subject]
        out = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", "req", "-x509", *made, *out], check=True, capture_output=True)
        pairs.append(
            {"ovms_gateway_certificate": certificate.read_text(), "ovms_gateway_key": key.read_text()}
        )
    one, two = pairs
    before = narrow.pids()[0]

    def serves_one() -> None:
        served = ssl.get_server_certificate((narrow.address, 8002))
        assert served.strip() == one["ovms_gateway_certificate"].strip()

    run = narrow.play(**NARROW, **one)
    assert narrow.changed(run) > 0
    assert "PRIVATE KEY" not in run.output
    serves_one()
    mixed = {**one, "ovms_gateway_key": two["ovms_gateway_key"]}
    run = narrow.play(**NARROW, **mixed, ovms_gateway_secure_logging=False)
    assert run.status != 0
    assert "tls.pem is refused by python3, and the old one was kept" in run.output
    serves_one()
    assert narrow.pids()[0] == before
