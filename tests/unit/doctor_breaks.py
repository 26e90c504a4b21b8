"""How each thing is broken that the doctor finds: by check, what breaks it, and what its remedy says."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

from ovms_edge.node.alias import CONTAINER as ALIAS
from ovms_edge.node.container import RELEASE_LABEL, SPEC_LABEL
from ovms_edge.node.docker import EngineLostError
from ovms_edge.node.doctor import ask_depot, collect_engine, collect_host
from ovms_edge.node.doctor.collect_host import DOCKER_UNIT, GATEWAY_UNIT, TEND_UNIT, TIMER_UNIT
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.state import Failure, Pending
from ovms_edge.status_list import StatusList
from tests.unit.doctor_store import (
    CONTAINER,
    GIB,
    IMAGE,
    HttpAnswer,
    Store,
    answering,
    utc,
)
from tests.unit.node_depot import Publisher
from tests.unit.node_ovms import SERVABLE, config_entry

Break = Callable[[Store], object]
CLOSED = "http://127.0.0.1:1"
ACTIVATE = "ovms-node activate vlm@1.0.0"
FETCH = "ovms-node stage vlm@1.0.0 --verify && ovms-node activate vlm@1.0.0"
PREPARE = "playbooks/prepare_hosts.yml -l "
REMAKE = f"docker rm -f {CONTAINER} && {ACTIVATE}"


def _write(name: str, text: str) -> Break:
    return lambda store: (store.etc / name).write_text(text)


def _unit(unit: str, **properties: str) -> Break:
    return lambda store: store.units[unit].update(properties)


def _kernel(message: str) -> Break:
    return lambda store: store.kernel_says(message)


def _disk(**values: int) -> Break:
    return lambda store: store.disk.update(values)


def _gpu_file(name: str, text: str) -> Break:
    return lambda store: (store.pci / name).write_text(text)


def _host_config(**values: Any) -> Break:
    return lambda store: store.container["HostConfig"].update(values)


def _state(**values: Any) -> Break:
    return lambda store: store.container["State"].update(values)


def _depot(**values: Any) -> Break:
    def change(store: Store) -> None:
        path = store.etc / "node.json"
        store.edit_json(path, depot={**json.loads(path.read_text())["depot"], **values})

    return change


def _old_kernel(store: Store) -> None:
    store.patch.setattr(platform, "release", lambda: "6.1.0-28-amd64")
    (store.root / "modules/6.1.0-28-amd64").mkdir()
    (store.pci / "uevent").write_text("PCI_CLASS=30000\n")


def _render_group(store: Store) -> None:
    if os.getuid() == 0:
        os.chown(store.render_node, 0, 0)
    else:
        found = collect_host.find_gpu(store.root / "sys", store.root / "dev")
        assert found
        store.patch.setattr(collect_host, "find_gpu", lambda *_: replace(found, render_gid=0))


def _no_dns(store: Store) -> None:
    resolve = socket.getaddrinfo

    def fails(host: str, *words: Any, **named: Any) -> Any:
        if host == "depot.example":
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(host, *words, **named)

    _depot(url="https://depot.example:5000")(store)
    store.patch.setattr(ask_depot.socket, "getaddrinfo", fails)


def depot_with(store: Store, pem: Path) -> None:
    """Let the depot have another certificate, which the store trusts."""
    other = HttpAnswer(authorization=store.depot.authorization)
    store.stack.enter_context(answering(other, pem))
    (store.etc / "depot-ca.pem").write_bytes(pem.with_suffix(".pem").read_bytes())
    credentials = json.loads((store.etc / "credentials.json").read_text())["auths"]
    registry = other.url.partition("//")[2]
    (store.etc / "credentials.json").write_text(
        json.dumps({"auths": {registry: next(iter(credentials.values()))}})
    )
    _depot(url=other.url)(store)


def _other_ca(store: Store) -> None:
    (store.etc / "depot-ca.pem").write_bytes(store.keys.other.with_suffix(".pem").read_bytes())


def _no_engine(store: Store) -> None:
    store.docker.error = EngineLostError("no Docker Engine behind /var/run/docker.sock", "start it")


def _no_dockerd(store: Store) -> None:
    _no_engine(store)
    store.patch.setattr(collect_engine.shutil, "which", lambda _: None)


def _pending(store: Store) -> None:
    pending = Pending("vlm@2.0.0", "f" * 64, "2.0.0-ffff", utc(3600), "b")
    store.edit_state(pending=pending)


def _failed(store: Store) -> None:
    store.edit_state(failed=(Failure("f" * 64, "vlm@2.0.0", "answers in French", utc(60)),))


def _transfer(store: Store) -> None:
    document = {"release": "vlm@2.0.0", "state": "fetching", "pid": 1, "process": "of another boot"}
    store.paths.transfer.write_text(json.dumps(document))


def _squatter(store: Store) -> None:
    store.units[GATEWAY_UNIT]["ActiveState"] = "activating"
    store.listen(int(store.gateway.url.rpartition(":")[2]), 99, "python3", "menu.service")


def _gateway_stopped(store: Store) -> None:
    store.units[GATEWAY_UNIT]["ActiveState"] = "inactive"
    store.edit_json(store.etc / "gateway.json", url=CLOSED)


def _append(path: str) -> Break:
    def change(store: Store) -> None:
        with (store.etc / path).open("a") as file:
            file.write("    # maxconn 1\n")

    return change


def _certificate_soon(store: Store) -> None:
    pem = store.keys.soon.with_suffix(".pem").read_bytes()
    (store.etc / "gateway/certificate.pem").write_bytes(pem)


def _other_signer(store: Store) -> None:
    (store.etc / "allowed_signers").write_text(Publisher(store.root / "stranger").allowed())


def _revoked(store: Store) -> None:
    status = StatusList("vlm", 1, utc(60)).revoking("1.0.0", "answers in French", utc(60))
    data = status.to_bytes()
    path = store.paths.status("vlm")
    path.parent.mkdir()
    document = {"list": data.decode(), "signature": store.keys.publisher.signature(data).decode()}
    path.write_text(json.dumps(document))


def _in_model(name: str, change: Callable[[Path], object]) -> Break:
    return lambda store: change(store.model / name)


def _cut(path: Path) -> None:
    os.truncate(path, 100)


def _zero_end(path: Path) -> None:
    """Leave what a power cut leaves of a file that was not synced: its size, and zeros."""
    data = path.read_bytes()
    path.write_bytes(data[:-64] + bytes(64))


def _copy(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def _config(change: Callable[[dict[str, Any]], object]) -> Break:
    def write(store: Store) -> None:
        path = store.generation / "config.json"
        document = json.loads(path.read_text())
        change(document)
        store.rewrite(path, json.dumps(document))

    return write


def _other_name(document: dict[str, Any]) -> None:
    document["model_config_list"][0]["config"]["name"] = "Qwen/other"


def _graph(old: str, new: str) -> Break:
    return lambda store: store.edit_graph(old, new)


def _other_spec(store: Store) -> None:
    store.container["Config"]["Labels"] = {SPEC_LABEL: "e" * 64, RELEASE_LABEL: "vlm@0.9"}


def _rendered_otherwise(store: Store) -> None:
    store.edit_state(active=replace(store.active, spec="f" * 64))
    store.container["Config"]["Labels"][SPEC_LABEL] = "f" * 64


def _no_server(store: Store) -> None:
    store.patch.setattr(Gateway, "server_url", lambda *_: CLOSED)


def _serves_another(store: Store) -> None:
    store.ovms.configs = [{"Qwen/other": config_entry()[SERVABLE]}]
    store.ovms.answers["/v3/models"] = (200, b'{"data": [{"id": "Qwen/other"}]}')


def _entry(state: str, code: str) -> Break:
    def change(store: Store) -> None:
        store.ovms.configs = [config_entry(state, code)]
        store.ovms.answers["/v3/models"] = (200, b'{"data": []}')

    return change


def _old_status(store: Store) -> None:
    old = time.time() - 7200
    os.utime(store.paths.status_file, (old, old))


BREAKS: dict[str, tuple[Break, str]] = {
    "node.set-up": (lambda store: shutil.rmtree(store.etc), "ansible-playbook site.yml -l "),
    "node.config": (_write("node.json", '{"schema": 1,'), PREPARE),
    "node.signers": (_write("allowed_signers", "# nobody\n"), PREPARE),
    "node.textfile": (
        lambda store: store.edit_json(store.etc / "node.json", textfile_directory="/nowhere/metrics"),
        "install -d -m 0755 /nowhere/metrics",
    ),
    "host.distribution": (
        lambda store: store.patch.setattr(
            collect_host, "os_release", lambda: {"ID": "debian", "VERSION_ID": "11"}
        ),
        "install Debian 13",
    ),
    "host.architecture": (
        lambda store: store.patch.setattr(platform, "machine", lambda: "aarch64"),
        "Intel",
    ),
    "host.kernel-modules": (lambda store: shutil.rmtree(store.root / "modules"), "systemctl reboot"),
    "host.reboot": (lambda store: (store.root / "run/reboot-required").touch(), "systemctl reboot"),
    "host.memory": (lambda store: store.set_memory(12, 8), "dmidecode --type memory"),
    "host.memory-pressure": (lambda store: store.set_memory(32, 0.5), "ps -eo rss,pid,comm --sort=-rss"),
    "host.oom": (_kernel("Out of memory: Killed process 12 (ovms) total-vm:1kB"), "ovms_server_cache_size"),
    "host.read-only": (_disk(flags=os.ST_RDONLY), "mount -o remount,rw"),
    "host.disk": (_disk(free=GIB // 2), "ovms-node gc"),
    "host.inodes": (_disk(free_inodes=3), "du --inodes"),
    "host.docker-disk": (_disk(docker_free=GIB), "docker system prune"),
    "host.clock": (
        lambda store: store.patch.setattr(collect_host, "clock_synchronized", lambda: False),
        "timedatectl set-ntp true",
    ),
    "host.clock-skew": (
        lambda store: setattr(store.depot, "date", formatdate(time.time() - 3600, usegmt=True)),
        "timedatectl set-ntp true",
    ),
    "gpu.present": (lambda store: shutil.rmtree(store.pci), "enable the iGPU in the firmware"),
    "gpu.model": (_gpu_file("device", "0x7d60\n"), "ovms_server_device"),
    "gpu.kernel": (_old_kernel, "bookworm-backports linux-image-amd64"),
    "gpu.firmware": (
        lambda store: shutil.rmtree(store.root / "firmware"),
        "apt-get install firmware-intel-graphics",
    ),
    "gpu.driver": (_gpu_file("uevent", "DRIVER=xe\n"), "modprobe i915"),
    "gpu.wedged": (_kernel("i915 0000:00:02.0: [drm] *ERROR* GT0: declared wedged!"), "systemctl reboot"),
    "gpu.hang": (_kernel("i915 0000:00:02.0: [drm] GPU HANG: ecode 12:1:85dffffb, in ovms [88]"), "error"),
    "gpu.render-node": (lambda store: store.render_node.unlink(), "udevadm trigger"),
    "gpu.render-group": (_render_group, "groupadd --system --force render"),
    "gpu.render-mode": (lambda store: store.render_node.chmod(0o600), "chmod 0660 "),
    "depot.ca": (_write("depot-ca.pem", "no certificate\n"), "node_agent_depot_ca"),
    "host.dns": (_no_dns, "getent hosts depot.example"),
    "depot.connect": (_depot(url="https://127.0.0.1:1"), "curl -v https://127.0.0.1:1/v2/"),
    "depot.certificate": (_other_ca, "node_agent_depot_ca"),
    "depot.certificate-age": (
        lambda store: depot_with(store, store.keys.soon),
        "openssl s_client -connect 127.0.0.1:",
    ),
    "depot.answer": (lambda store: setattr(store.depot, "status", 503), "curl"),
    "depot.login": (_write("credentials.json", '{"auths": {}}'), "docker_engine_registries"),
    "depot.mirror": (_depot(mirrors=[{"url": CLOSED}]), f"curl -sI {CLOSED}/v2/"),
    "units.timer": (_unit(TIMER_UNIT, ActiveState="inactive"), f"systemctl enable --now {TIMER_UNIT}"),
    "gateway.settings": (_write("gateway.json", "{"), PREPARE),
    "engine.installed": (_no_dockerd, PREPARE),
    "engine.running": (_no_engine, "systemctl restart docker.service"),
    "state.readable": (lambda store: store.paths.state.write_text('{"schema": 2'), "state.json.damaged"),
    "state.active": (
        lambda store: store.paths.state.write_text(
            json.dumps({"schema": 2, "active": None, "previous": None, "pending": None, "failed": []})
        ),
        "ansible-playbook site.yml",
    ),
    "state.pending": (_pending, f"systemctl start {TEND_UNIT}"),
    "state.failed": (_failed, "another release"),
    "state.transfer": (_transfer, "ovms-node stage vlm@2.0.0"),
    "engine.enabled": (_unit(DOCKER_UNIT, UnitFileState="disabled"), f"systemctl enable {DOCKER_UNIT}"),
    "engine.live-restore": (lambda store: setattr(store.docker, "live_restore", False), PREPARE),
    "engine.network": (
        lambda store: store.docker.networks["ovms-edge-server"].update(Internal=False),
        "docker network rm ovms-edge-server",
    ),
    "gateway.port": (_squatter, f"systemctl stop menu.service; systemctl restart {GATEWAY_UNIT}"),
    "gateway.running": (_gateway_stopped, f"systemctl restart {GATEWAY_UNIT}"),
    "gateway.enabled": (_unit(GATEWAY_UNIT, UnitFileState="disabled"), f"systemctl enable {GATEWAY_UNIT}"),
    "gateway.answers": (
        lambda store: store.edit_json(store.etc / "gateway.json", url=CLOSED),
        f"systemctl restart {GATEWAY_UNIT}",
    ),
    "gateway.files": (_append("gateway/haproxy.cfg"), PREPARE),
    "gateway.reload": (
        lambda store: store.gateway.headers.update({"gateway-config": "0000"}),
        f"systemctl reload {GATEWAY_UNIT}",
    ),
    "gateway.certificate": (
        lambda store: setattr(store, "openssl_says", "notAfter=Jan  1 00:00:00 2024 GMT\n"),
        PREPARE,
    ),
    "gateway.certificate-age": (_certificate_soon, PREPARE),
    "gateway.alias": (
        lambda store: store.docker.inspected[ALIAS]["State"].update(Status="exited"),
        f"systemctl start {TEND_UNIT}",
    ),
    "release.present": (lambda store: shutil.rmtree(store.release), FETCH),
    "release.manifest": (lambda store: os.truncate(store.release / "manifest.json", 40), FETCH),
    "release.signature": (_other_signer, "node_agent_allowed_signers"),
    "release.revoked": (_revoked, "ovms-node rollback"),
    "model.generation": (lambda store: shutil.rmtree(store.generation), ACTIVATE),
    "model.missing": (_in_model("tokenizer.json", Path.unlink), FETCH),
    "model.truncated": (_in_model("openvino_model.bin", _cut), FETCH),
    "model.damaged": (_in_model("openvino_model.xml", _zero_end), FETCH),
    "model.replaced": (_in_model("tokenizer.json", _copy), ACTIVATE),
    "model.permissions": (_in_model("openvino_model.bin", partial(Path.chmod, mode=0o600)), "chmod -R a+rX "),
    "model.cache": (lambda store: store.paths.cache.chmod(0o755), "install -d -m 0750 -o 5000 -g 5000 "),
    "config.readable": (lambda store: store.rewrite(store.generation / "config.json", "{"), ACTIVATE),
    "config.servable": (_config(_other_name), ACTIVATE),
    "config.drift": (_config(lambda document: document.update(monitoring={})), ACTIVATE),
    "graph.missing": (_in_model("graph.pbtxt", Path.unlink), ACTIVATE),
    "graph.format": (
        lambda store: store.rewrite(store.model / "graph.pbtxt", '{"input_stream": "input"}'),
        ACTIVATE,
    ),
    "graph.version": (_graph('device: "GPU"', 'device: "GPU"\n      tool_parser_of_tomorrow: 1'), ACTIVATE),
    "graph.path": (_graph('models_path: "./"', 'models_path: "/opt/models/Qwen"'), ACTIVATE),
    "graph.device": (_graph('device: "GPU"', 'device: "CPU"'), ACTIVATE),
    "graph.cache": (_graph("cache_size: 4", "cache_size: 32"), ACTIVATE),
    "graph.drift": (_graph("max_num_seqs: 1", "max_num_seqs: 64"), ACTIVATE),
    "container.exists": (lambda store: store.docker.inspected.pop(CONTAINER), ACTIVATE),
    "container.spec": (_other_spec, REMAKE),
    "container.device": (_host_config(Devices=[]), REMAKE),
    "container.render-gid": (_host_config(GroupAdd=["44"]), ACTIVATE),
    "container.mounts": (
        lambda store: store.container["Mounts"][0].update(Source="/srv/models"),
        REMAKE,
    ),
    "container.command": (
        lambda store: store.container["Config"].update(Cmd=["--port", "8000"]),
        REMAKE,
    ),
    "container.hardening": (lambda store: store.container["Config"].update(User="root"), REMAKE),
    "container.memory-limit": (_host_config(Memory=8 * GIB), REMAKE),
    "container.policy": (
        _host_config(RestartPolicy={"Name": "no"}),
        f"docker update --restart always {CONTAINER}",
    ),
    "container.oom": (_state(Status="exited", ExitCode=137, OOMKilled=True), "ovms_server_cache_size"),
    "container.restarts": (
        lambda store: (store.container.update(RestartCount=7), _state(Status="restarting")(store)),
        f"docker logs --tail 50 {CONTAINER}",
    ),
    "container.running": (_state(Status="exited", ExitCode=0), f"systemctl start {TEND_UNIT}"),
    "container.drift": (_rendered_otherwise, ACTIVATE),
    "container.stray": (
        lambda store: store.docker.inspected.update({"ovms-vlm-b": store.container}),
        "docker rm -f ovms-vlm-b",
    ),
    "image.pinned": (
        lambda store: store.redeploy(image="openvino/model_server:latest-gpu"),
        "ovms_server_image",
    ),
    "image.version": (
        lambda store: store.redeploy(image="openvino/model_server:2025.3-gpu"),
        "ovms_server_image",
    ),
    "image.device": (
        lambda store: store.redeploy(image="openvino/model_server:2025.4.1"),
        "ovms_server_image",
    ),
    "image.present": (lambda store: store.docker.images.clear(), f"docker pull {IMAGE}"),
    "image.digest": (lambda store: store.docker.images[IMAGE].update(Id="sha256:bb"), REMAKE),
    "server.answers": (_no_server, f"docker restart {CONTAINER}"),
    "server.servable": (_serves_another, f"docker restart {CONTAINER}"),
    "server.load": (_entry("LOADING", "LOADING_PRECONDITION_FAILED"), f"docker restart {CONTAINER}"),
    "server.loaded": (_entry("UNLOADING", "OK"), f"docker restart {CONTAINER}"),
    "server.listed": (
        lambda store: store.ovms.answers.update({"/v3/models": (200, b'{"data": []}')}),
        f"docker restart {CONTAINER}",
    ),
    "server.device": (
        lambda store: setattr(store.docker, "log", ["Available devices for Open VINO: CPU"]),
        "ovms-node facts",
    ),
    "server.gpu-errors": (
        lambda store: store.docker.log.append("[error] exception: clFlush CL_OUT_OF_RESOURCES"),
        "ovms_server_cache_size",
    ),
    "server.reload": (_in_model("graph.pbtxt", Path.touch), f"docker restart {CONTAINER}"),
    "server.gate": (
        lambda store: store.paths.gate.write_text(json.dumps({"ok": False, "at": utc(9), "reason": "blank"})),
        "ovms-node verify",
    ),
    "gateway.route": (lambda store: setattr(store.gateway, "body", b"hold"), f"systemctl start {TEND_UNIT}"),
    "state.status": (_old_status, f"systemctl restart {TEND_UNIT}"),
    "units.failed": (
        lambda store: store.failed_units.append("menu.service"),
        "systemctl restart menu.service",
    ),
    "units.tend": (lambda store: store.failed_units.append(TEND_UNIT), f"systemctl start {TEND_UNIT}"),
}
