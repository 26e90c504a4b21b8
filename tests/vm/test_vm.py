"""A store from its bare disk to serving, on a real kernel that a role installs and reboots into.

The tests run in this order. What they prove of a GPU, and what not: docs/hardware-verification.md.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.testinfra import evidence
from tests.vm.virtual_store import ROOT, Boot, Run, VirtualStore

pytestmark = pytest.mark.vm

# As libdrm asks for a driver's name: DRM_IOCTL_VERSION of the kernel's include/uapi/drm/drm.h.
ASK_DRIVER = """
import array, fcntl, struct
name = array.array("B", bytes(64))
request = bytearray(struct.pack("iiiQQQQQQ", 0, 0, 0, 64, name.buffer_info()[0], 0, 0, 0, 0))
with open("/dev/dri/renderD128", "r+b", buffering=0) as node:
    fcntl.ioctl(node, 0xC0406400, request)
print(name.tobytes().rstrip(bytes(1)).decode())
"""


def test_the_kernel_of_the_bare_store_has_no_graphics_driver(store: VirtualStore, bare_boot: Boot) -> None:
    assert bare_boot.kernel.endswith("-cloud-amd64")
    assert store.shell("ls /dev/dri 2>/dev/null || true") == ""
    assert store.shell("command -v dockerd || true") == ""


def test_site_brings_the_bare_store_to_serving(site: Run) -> None:
    assert site.changed


def test_the_kernel_that_runs_now_was_installed_and_booted_by_the_roles(
    store: VirtualStore, bare_boot: Boot, site: Run
) -> None:
    now = store.boot()
    assert now.boot_id != bare_boot.boot_id
    assert now.kernel != bare_boot.kernel
    assert not now.kernel.endswith("-cloud-amd64")
    assert "linux-image-amd64" in store.shell("apt-mark showmanual")


def test_render_node_is_udevs_and_the_facts_know_its_group(store: VirtualStore, site: Run) -> None:
    group, gid = store.shell("stat -c '%G %g' /dev/dri/renderD128").split()
    assert group == "render"
    assert store.facts()["gpu"]["render_gid"] == int(gid)


def test_the_servers_user_reaches_the_driver_through_the_render_node(store: VirtualStore, site: Run) -> None:
    command = f"docker exec -i {store.server()} python3 - <<'END'\n{ASK_DRIVER}\nEND"
    assert store.shell(command).strip() == "vgem"


def test_a_client_gets_an_answer_about_its_image(store: VirtualStore, site: Run) -> None:
    servable = store.facts()["active"]["servable"]
    answer = evidence.chat(store.gateway, servable, stream=False)
    assert answer["status"] == 200, answer["body"]
    choice = json.loads(answer["body"])["choices"][0]
    assert choice["message"]["content"]


def test_the_gate_passes_on_the_fleet_of_one(store: VirtualStore, site: Run, tmp_path_factory) -> None:
    report = tmp_path_factory.mktemp("report") / "report.json"
    run = store.playbook("playbooks/verify_fleet.yml", "-e", f"verify_report_file={report}")
    assert run.status == 0, run.output
    assert [entry["ok"] for entry in json.loads(report.read_text())["stores"]] == [True]


def test_site_again_changes_nothing(store: VirtualStore, site: Run) -> None:
    before = store.boot()
    run = store.playbook("site.yml")
    assert run.status == 0, run.output
    assert run.changed == 0, run.output
    assert store.boot() == before


def test_it_serves_again_by_itself_after_a_reboot(store: VirtualStore, site: Run) -> None:
    before = store.boot()
    now = store.reboot()
    assert now.boot_id != before.boot_id
    assert now.kernel == before.kernel
    assert store.wait_until_serving()["ok"]
    answer = evidence.chat(store.gateway, store.facts()["active"]["servable"], stream=False)
    assert answer["status"] == 200, answer["body"]


def test_it_serves_again_by_itself_after_a_power_cut(store: VirtualStore, site: Run) -> None:
    before = store.boot()
    assert store.power_cut().boot_id != before.boot_id
    assert store.wait_until_serving()["ok"]
    answer = evidence.chat(store.gateway, store.facts()["active"]["servable"], stream=False)
    assert answer["status"] == 200, answer["body"]


def test_the_testinfra_suite_passes_on_it(store: VirtualStore, site: Run) -> None:
    hosts = "ansible://stores?force_ansible=True&sudo=True"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/testinfra", f"--ansible-inventory={store.inventory}",
         f"--hosts={hosts}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
