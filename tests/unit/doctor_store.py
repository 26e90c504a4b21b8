"""A healthy store in a directory, for the doctor: real files and answers, to be broken one at a time."""

from __future__ import annotations

import json
import os
import platform
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE
from ovms_edge.node.alias import CONTAINER as ALIAS
from ovms_edge.node.container import Host, desired_server
from ovms_edge.node.docker import Docker
from ovms_edge.node.doctor import collect_engine, collect_host
from ovms_edge.node.doctor.collect import Means, collect
from ovms_edge.node.doctor.collect_host import UNITS
from ovms_edge.node.doctor.commands import run
from ovms_edge.node.doctor.evidence import Evidence, Places
from ovms_edge.node.doctor.findings import Diagnosis, diagnose
from ovms_edge.node.doctor.table import CHECKS
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.generation import build_generation
from ovms_edge.node.gpu import find_gpu
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import staged_release
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import Deployment, State, load_state, save_state
from tests.unit.node_depot import BASIC, Publisher, manifest_of
from tests.unit.node_ovms import SERVABLE, FakeOvms, config_entry
from tests.unit.node_ovms import serve as serve_ovms
from tests.unit.release_model import XML

GIB = 1 << 30
MEMORY_GIB = 32
CONFIG = "0123"
SUBNET = "172.31.253.0/29"
IMAGE = "depot.example/openvino/model_server:2025.4.1-gpu"
IMAGE_ID = "sha256:aa"
CONTAINER = "ovms-vlm-a"
# Docker's and ours; minutes ago, so that nothing is young.
_LONG_AGO_SECONDS = 3600.0
_RENDER_GID = 992
_FILES = {"openvino_model.xml": XML.encode(), "openvino_model.bin": b"w" * 256, "tokenizer.json": b"{}"}


def utc(seconds_ago: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds_ago))


@dataclass
class FakeDocker:
    """Answers from dictionaries; ``error`` is raised by every call."""

    inspected: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    live_restore: bool = True
    log: list[str] = field(default_factory=list)
    error: EdgeError | None = None

    def info(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {"ServerVersion": "26.1.5", "LiveRestoreEnabled": self.live_restore}

    def container(self, name: str) -> dict[str, Any] | None:
        return self.inspected.get(name)

    def image(self, reference: str) -> dict[str, Any] | None:
        return self.images.get(reference)

    def network(self, name: str) -> dict[str, Any] | None:
        return self.networks.get(name)

    def log_lines(self, name: str, since: str = "0", tail: str = "all") -> Iterator[str]:
        yield from self.log


@dataclass
class HttpAnswer:
    """What a server says to every GET. ``date`` replaces the Date header."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    authorization: str | None = None  # wanted; else 401
    date: str | None = None
    url: str = ""


@contextmanager
def answering(answer: HttpAnswer, tls: Path | None = None) -> Iterator[HttpAnswer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = answer.authorization in (None, self.headers.get("Authorization"))
            self.send_response(answer.status if good else 401)
            if not good:
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return answer.date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            return  # clients that do not like the certificate

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
    answer.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield answer
    finally:
        server.shutdown()
        server.server_close()


def certificate(directory: Path, name: str, days: int) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; returns the PEM with its key."""
    key, pem, both = directory / f"{name}.key", directory / f"{name}.pem", directory / f"{name}.both"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=depot", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        [*words, *names, "-days", str(days), "-keyout", str(key), "-out", str(pem)],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + pem.read_text())
    return both


@dataclass
class Keys:
    """What takes long to make, once for all tests. ``soon``: a certificate that ends."""

    publisher: Publisher
    depot: Path
    soon: Path
    other: Path
    signature: bytes

    @classmethod
    def made(cls, directory: Path) -> Keys:
        publisher = Publisher(directory / "publisher")
        return cls(
            publisher,
            certificate(directory, "depot", 365),
            certificate(directory, "soon", 5),
            certificate(directory, "other", 365),
            publisher.signature(manifest_of(_FILES).to_bytes()),
        )


@dataclass
class Store:
    """Everything that evidence is collected from."""

    root: Path
    keys: Keys
    docker: FakeDocker
    ovms: FakeOvms
    gateway: HttpAnswer
    depot: HttpAnswer
    patch: pytest.MonkeyPatch
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    failed_units: list[str] = field(default_factory=list)
    in_container: bool = False
    disk: dict[str, int] = field(default_factory=dict)
    openssl_says: str = ""
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def etc(self) -> Path:
        return self.root / "etc/ovms-edge"

    @property
    def paths(self) -> StatePaths:
        return StatePaths(self.root / "state")

    @property
    def places(self) -> Places:
        return Places(
            node_config=self.etc / "node.json",
            proc=self.root / "proc",
            dev=self.root / "dev",
            run=self.root / "run",
            modules=self.root / "modules",
            firmware=self.root / "firmware",
            docker_config=self.root / "daemon.json",
        )

    @property
    def pci(self) -> Path:
        return self.root / "sys/bus/pci/devices/0000:00:02.0"

    @property
    def render_node(self) -> Path:
        return self.root / "dev/dri/renderD128"

    @property
    def active(self) -> Deployment:
        active = load_state(self.paths.state).active
        assert active
        return active

    @property
    def generation(self) -> Path:
        return self.paths.models / self.active.generation

    @property
    def model(self) -> Path:
        return self.generation / SERVABLE

    @property
    def release(self) -> Path:
        (directory,) = self.paths.releases.glob("*/*")
        return directory

    @property
    def container(self) -> dict[str, Any]:
        return self.docker.inspected[CONTAINER]

    def evidence(self) -> Evidence:
        return collect(self.places, Means(cast(Docker, self.docker), self._run, self.in_container))

    def diagnosis(self) -> Diagnosis:
        return diagnose(CHECKS, self.evidence())

    def found(self) -> list[str]:
        return [finding.id for finding in self.diagnosis().findings]

    def _run(self, words: Sequence[str]) -> str | None:
        if words[:2] == ["systemctl", "show"]:
            blocks = ("\n".join(f"{k}={v}" for k, v in unit.items()) for unit in self.units.values())
            return "\n\n".join(blocks)
        if words[:2] == ["systemctl", "list-units"]:
            return "".join(f"{unit} loaded failed failed A unit\n" for unit in self.failed_units)
        if words[0] == "openssl" and self.openssl_says:
            return self.openssl_says
        return run(words)

    def redeploy(self, **settings: Any) -> None:
        """Let it serve as if it had been activated with other settings."""
        _write_deployment(self, **settings)

    def edit_json(self, path: Path, **changes: Any) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def edit_state(self, **changes: Any) -> None:
        save_state(self.paths.state, replace(load_state(self.paths.state), **changes))

    def edit_settings(self, **changes: Any) -> None:
        self.edit_state(active=replace(self.active, settings={**self.active.settings, **changes}))

    def edit_graph(self, old: str, new: str) -> None:
        graph = self.model / "graph.pbtxt"
        assert old in graph.read_text()
        self.rewrite(graph, graph.read_text().replace(old, new))

    def rewrite(self, path: Path, text: str) -> None:
        """Write a file as it was before OVMS was started."""
        path.write_text(text)
        self.age(path)

    def age(self, path: Path) -> None:
        old = time.time() - 2 * _LONG_AGO_SECONDS
        os.utime(path, (old, old))

    def kernel_says(self, message: str) -> None:
        """Add a record to the kernel's log, of this moment."""
        microseconds = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
        with (self.root / "dev/kmsg").open("a") as log:
            log.write(f"4,7,{microseconds},-;{message}\n SUBSYSTEM=pci\n")

    def set_memory(self, total_gib: float, available_gib: float) -> None:
        kib = 1 << 20
        text = f"MemTotal: {int(total_gib * kib)} kB\nMemAvailable: {int(available_gib * kib)} kB\n"
        (self.root / "proc/meminfo").write_text(text)

    def listen(self, port: int, process: int, name: str, unit: str) -> None:
        """Let a process listen at ``port``, as /proc shows it."""
        proc = self.root / "proc"
        line = f"   0: 00000000:{port:04X} 00000000:0000 0A 0:0 0:0 0 0 0 4711 1 0 100 0 0 10 0\n"
        (proc / "net/tcp").write_text("  sl  local_address ...\n" + line)
        (proc / str(process) / "fd").mkdir(parents=True)
        (proc / str(process) / "fd/3").symlink_to("socket:[4711]")
        (proc / str(process) / "comm").write_text(f"{name}\n")
        (proc / str(process) / "cgroup").write_text(f"0::/system.slice/{unit}\n")

    def hold_lock(self, command: str) -> None:
        """Let a process hold the lock of a switch."""
        self.paths.serve_lock.write_text(json.dumps({"pid": 77, "command": command, "since": utc(5)}))
        (self.root / "proc/77/fd").mkdir(parents=True)
        (self.root / "proc/77/fd/4").symlink_to(self.paths.serve_lock)


@contextmanager
def healthy_store(root: Path, keys: Keys, patch: pytest.MonkeyPatch) -> Iterator[Store]:
    answers = {"/v3/models": (200, json.dumps({"data": [{"id": SERVABLE}]}).encode())}
    with (
        serve_ovms(FakeOvms(configs=[config_entry()], answers=answers)) as ovms,
        answering(HttpAnswer(body=b"a\n", headers={"gateway-config": CONFIG})) as gateway,
        answering(HttpAnswer(authorization=BASIC), keys.depot) as depot,
    ):
        store = Store(root, keys, FakeDocker(), ovms, gateway, depot, patch)
        _patch(store)
        _write_host(store)
        _write_settings(store)
        _write_release(store)
        _write_gateway(store)
        _write_deployment(store)
        with store.stack:
            yield store


def _patch(store: Store) -> None:
    """Let what cannot be pointed elsewhere say what a healthy host says."""
    stat = os.statvfs("/")
    block = stat.f_frsize
    store.disk = {"free": 100 * GIB, "free_inodes": 10**6, "flags": 0}

    def statvfs(path: Path) -> os.statvfs_result:
        docker = path == collect_host.DOCKER_ROOT or path in collect_host.DOCKER_ROOT.parents
        free = store.disk.get("docker_free", 100 * GIB) if docker else store.disk["free"]
        inodes, flags = store.disk["free_inodes"], 0 if docker else store.disk["flags"]
        values = (block, block, 10**9, free // block, free // block, 10**7, inodes, inodes, flags, 255)
        return os.statvfs_result(values)

    release = {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13"}
    store.patch.setattr(collect_host.os, "statvfs", statvfs)
    store.patch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the test
    store.patch.setattr(collect_host, "os_release", lambda: release)
    store.patch.setattr(collect_host, "clock_synchronized", lambda: True)
    store.patch.setattr(platform, "machine", lambda: "x86_64")
    store.patch.setattr(collect_engine.shutil, "which", lambda name: f"/usr/sbin/{name}")
    store.patch.setattr(Gateway, "server_url", lambda self, slot: f"http://127.0.0.1:{store.ovms.port}")
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        store.patch.delenv(variable, raising=False)


def _write_host(store: Store) -> None:
    root = store.root
    for directory in ("dev/dri", "proc/net", "proc/pressure", "run", "firmware/i915", "state"):
        (root / directory).mkdir(parents=True)
    (root / "modules" / platform.release()).mkdir(parents=True)
    (root / "firmware/i915/mtl_guc_70.bin.zst").touch()
    (root / "dev/kmsg").touch()
    (root / "proc/pressure/memory").write_text(
        "some avg10=0.00 avg60=0.10 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.05 avg300=0.00 total=1\n"
    )
    (root / "proc/net/tcp").write_text("  sl  local_address ...\n")
    store.set_memory(MEMORY_GIB, 20)
    store.kernel_says("i915 0000:00:02.0: [drm] GT0: GuC firmware i915/mtl_guc_70.bin version 70.36.0")
    (store.pci / "drm/renderD128").mkdir(parents=True)
    for name, text in {"vendor": "0x8086", "device": "0x7d55", "class": "0x030000"}.items():
        (store.pci / name).write_text(f"{text}\n")
    (store.pci / "uevent").write_text("DRIVER=i915\n")
    store.render_node.touch()
    store.render_node.chmod(0o660)
    if os.getuid() == 0:
        os.chown(store.render_node, 0, _RENDER_GID)
    for unit in UNITS:
        store.units[unit] = {"Id": unit, "ActiveState": "active", "UnitFileState": "enabled"}


def _write_settings(store: Store) -> None:
    etc = store.etc
    etc.mkdir(parents=True)
    (etc / "allowed_signers").write_text(store.keys.publisher.allowed())
    (etc / "depot-ca.pem").write_bytes(store.keys.depot.with_suffix(".pem").read_bytes())
    registry = store.depot.url.partition("//")[2]
    auth = BASIC.partition(" ")[2]
    (etc / "credentials.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    settings = {
        "schema": 1,
        "state_dir": str(store.paths.root),
        "sysfs_root": str(store.root / "sys"),
        "allowed_signers_file": str(etc / "allowed_signers"),
        "textfile_directory": str(store.root / "run"),
        "depot": {
            "url": store.depot.url,
            "ca_file": str(etc / "depot-ca.pem"),
            "credentials_file": str(etc / "credentials.json"),
            "mirrors": [],
        },
    }
    (etc / "node.json").write_text(json.dumps(settings))


def _write_release(store: Store) -> None:
    manifest = manifest_of(_FILES)
    directory = store.paths.release(manifest.ref)
    directory.mkdir(parents=True)
    for name, data in _FILES.items():
        (directory / name).write_bytes(data)
    (directory / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    (directory / SIGNATURE_FILE).write_bytes(store.keys.signature)
    store.paths.cache.mkdir()
    store.paths.cache.chmod(0o777)  # only root may give it to user 5000


def _write_gateway(store: Store) -> None:
    directory = store.etc / "gateway"
    directory.mkdir()
    (directory / "gateway.lua").write_text("-- what is sent where\n")
    text = "global\n    setenv GATEWAY_CONFIG {}\n    maxconn 1024\n"
    made_of = text.format("@digest@") + (directory / "gateway.lua").read_text()
    digest = sha256(made_of.encode()).hexdigest()[:16]
    (directory / "haproxy.cfg").write_text(text.format(digest))
    store.gateway.headers["gateway-config"] = digest
    (directory / "certificate.pem").write_bytes(store.keys.depot.with_suffix(".pem").read_bytes())
    settings = {
        "schema": 1,
        "url": store.gateway.url,
        "ca_file": None,
        "network": "ovms-edge-server",
        "subnet": SUBNET,
        "slots": {"a": "172.31.253.2", "b": "172.31.253.3"},
        "route_file": str(store.root / "run/route"),
        "apps": {"network": "ovms-edge", "alias": "ovms-vlm", "socket": str(store.root / "run/http.sock")},
    }
    (store.etc / "gateway.json").write_text(json.dumps(settings))
    (store.root / "run/route").write_text("a\n")


def _write_deployment(store: Store, **changes: Any) -> None:
    settings = {"image": IMAGE, "servable": SERVABLE, "device": "GPU", "ovms_version": "2025.4.1", **changes}
    release = staged_release(store.paths, manifest_of(_FILES).ref)
    assert release
    gpu = find_gpu(store.root / "sys", store.root / "dev")
    parsed = parse_server_settings(settings)
    desired = desired_server(parsed, release.manifest, Host(MEMORY_GIB * GIB, gpu, "ovms-edge-server"))
    generation = build_generation(store.paths, desired, release)
    for path in (generation / "config.json", generation / SERVABLE / "graph.pbtxt"):
        store.age(path)
    started = utc(_LONG_AGO_SECONDS)
    active = Deployment(
        str(release.manifest.ref), SERVABLE, parsed.document(), desired.spec, generation.name, started,
        desired.summary, "a", ("CPU", "GPU"), started,
    )  # fmt: skip
    save_state(store.paths.state, State(active))
    store.paths.gate.write_text(json.dumps({"ok": True, "at": utc(60), "reason": None}))
    store.paths.status_file.write_text("{}")
    body = desired.body(generation, store.paths.cache)
    store.docker.inspected = {
        CONTAINER: {
            "Image": IMAGE_ID,
            "RestartCount": 0,
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": started, "OOMKilled": False},
            "Config": {name: body[name] for name in ("Cmd", "User", "Labels")},
            "HostConfig": {**body["HostConfig"], "RestartPolicy": {"Name": "always"}},
            "Mounts": [{"Source": str(generation), "Destination": "/models"}],
        },
        ALIAS: {"State": {"Status": "running"}},
    }
    store.docker.images = {parsed.image: {"Id": IMAGE_ID}}
    store.docker.networks = {"ovms-edge-server": {"Internal": True, "IPAM": {"Config": [{"Subnet": SUBNET}]}}}
    store.docker.log = ["[info] Available devices for Open VINO: CPU, GPU"]
