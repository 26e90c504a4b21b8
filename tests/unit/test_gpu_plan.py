"""What role ``intel_gpu`` decides: distribution, kernels, firmware, PCI id in, packages and reboots out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ovms.edge.plugins.plugin_utils._gpu_plan import gpu_plan

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = yaml.safe_load((ROOT / "roles/intel_gpu/vars/main.yml").read_text())["__intel_gpu_catalogue"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SETTINGS = {
    "required": True,
    "sysfs_root": "/sys",
    "manage_driver": "when_needed",
    "ubuntu_kernel": "ga",
    "runtime": False,
    "repository": None,
    "mirror": None,
    "reboot": "never",
}
REPOSITORY = {
    "url": "https://repositories.intel.com/gpu/ubuntu",
    "suites": ["jammy"],
    "components": ["unified"],
    "key": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n-----END PGP PUBLIC KEY BLOCK-----\n",
    "fingerprint": "0" * 40,
}
DEBIAN_12 = {
    "id": "debian",
    "version_id": "12",
    "codename": "bookworm",
    "name": "Debian GNU/Linux 12 (bookworm)",
}
DEBIAN_13 = {"id": "debian", "version_id": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}
UBUNTU_22 = {"id": "ubuntu", "version_id": "22.04", "codename": "jammy", "name": "Ubuntu 22.04 LTS"}
UBUNTU_24 = {"id": "ubuntu", "version_id": "24.04", "codename": "noble", "name": "Ubuntu 24.04 LTS"}
FEDORA = {"id": "fedora", "version_id": "42", "codename": "", "name": "Fedora 42"}
GUC = "mtl_guc_70.bin"


def source(suite: str, *components: str, **more: Any) -> dict[str, Any]:
    return {
        "file": "sources.list", "uri": "http://mirror.example/os", "suite": suite, "components": components,
        "signed_by": None, "trusted": False, "has_login": False, **more,
    }  # fmt: skip


SOURCES = {
    "debian_12": [source("bookworm", "main")],
    "debian_13": [source("trixie", "main")],
    "ubuntu_22.04": [source(suite, "main", "universe") for suite in ("jammy", "jammy-updates")],
    "ubuntu_24.04": [source(suite, "main", "universe") for suite in ("noble", "noble-updates")],
}


def host(
    system: dict[str, str] = DEBIAN_12,
    running: str = "6.1.0-28-amd64",
    bound: str | None = None,
    i915: bool | None = True,
    kernels: tuple[tuple[str, bool], ...] | None = None,
    gpu: dict[str, Any] | None = None,
    **driver: Any,
) -> dict[str, Any]:
    """Return the facts of a host; by default the running kernel is the only one, and i915 does not bind."""
    node = (
        {"render_node": "/dev/dri/renderD128", "render_gid": 992}
        if bound
        else {"render_node": None, "render_gid": None}
    )
    listed = ((running, i915 is not False),) if kernels is None else kernels
    return {
        "os": system,
        "gpu": {
            "pci_id": "8086:7d55", "pci_address": "0000:00:02.0", "driver": bound, "verdict": "x",
            **node, **(gpu or {}),
        },
        "gpu_driver": {
            "kernel": running,
            "running_has_i915": i915,
            "kernels": [{"release": release, "has_i915": has} for release, has in listed],
            "firmware_missing": [GUC],
            "guc": "RUNNING" if bound else None,
            "boot_image_stale": False,
            "changed_since_boot": False,
            "engines": {},
            "timeouts_unit": False,
            "packages": [],
            "sources": SOURCES.get(f"{system['id']}_{system['version_id']}", []),
            **driver,
        },
    }  # fmt: skip


def plan(facts: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return gpu_plan(facts, {**SETTINGS, **settings}, CATALOGUE)


def content(found: dict[str, Any], name: str) -> str:
    return "".join(file["content"] for file in found["files"] if file["path"].endswith(name))


BARE = [
    (DEBIAN_12, "6.1.0-28-amd64", "ga", ["linux-image-amd64", "firmware-intel-graphics"]),
    (DEBIAN_13, "6.12.48+deb13-amd64", "ga", ["firmware-intel-graphics"]),
    (UBUNTU_22, "5.15.0-204-generic", "ga", ["linux-image-generic-hwe-22.04", "linux-firmware"]),
    (UBUNTU_22, "6.5.0-45-generic", "ga", ["linux-image-generic-hwe-22.04", "linux-firmware"]),
    (UBUNTU_22, "6.8.0-149-generic", "ga", ["linux-firmware"]),
    (UBUNTU_24, "6.8.0-31-generic", "ga", ["linux-firmware"]),
    (UBUNTU_24, "6.6.0-custom", "ga", ["linux-image-generic", "linux-firmware"]),
    (UBUNTU_24, "6.6.0-custom", "hwe", ["linux-image-generic-hwe-24.04", "linux-firmware"]),
]


@pytest.mark.parametrize(("system", "running", "kernel", "packages"), BARE)
def test_a_bare_host_gets_what_its_distribution_has_for_it(
    system: dict[str, str], running: str, kernel: str, packages: list[str]
) -> None:
    found = plan(host(system, running), ubuntu_kernel=kernel)
    assert found["packages"] == packages
    assert found["refusal"] is None
    for package in packages:
        assert any(package in line for line in found["lines"])
    assert found["shortcoming"]


@pytest.mark.parametrize("system", [DEBIAN_12, DEBIAN_13, UBUNTU_22, UBUNTU_24, FEDORA])
@pytest.mark.parametrize("running", ["6.1.0-28-amd64", "6.18.1"])
@pytest.mark.parametrize("guc", ["RUNNING", None])
def test_where_the_gpu_works_nothing_moves(system: dict[str, str], running: str, guc: str | None) -> None:
    found = plan(host(system, running, bound="i915", guc=guc, changed_since_boot=True, boot_image_stale=True))
    assert (found["due"], found["packages"], found["reboot"], found["shortcoming"]) == (False, [], [], "")


@pytest.mark.parametrize("settings", [{"manage_driver": "never"}, {"required": False}])
def test_nothing_moves_unasked(settings: dict[str, Any]) -> None:
    found = plan(host(), **settings)
    assert (found["due"], found["packages"]) == (False, [])
    assert found["shortcoming"].endswith("install linux-image-amd64 firmware-intel-graphics and reboot")


@pytest.mark.parametrize(
    ("kernel", "installed", "packages"),
    [
        ("hwe", ["linux-image-generic", "linux-firmware"], ["linux-image-generic-hwe-24.04"]),
        ("hwe", ["linux-image-generic-hwe-24.04", "linux-firmware"], []),
        ("ga", ["linux-image-generic"], ["linux-firmware"]),
    ],
)
def test_always_asks_for_the_packages_though_the_gpu_works(
    kernel: str, installed: list[str], packages: list[str]
) -> None:
    facts = host(UBUNTU_24, "6.8.0-31-generic", bound="i915", packages=installed)
    assert plan(facts, manage_driver="always", ubuntu_kernel=kernel)["packages"] == packages


def test_a_kernel_without_i915_is_told_from_one_that_is_too_old() -> None:
    found = plan(host(UBUNTU_24, "6.8.0-31-generic", i915=False, firmware_missing=[]))
    assert found["packages"] == ["linux-image-generic"]
    assert "kernel 6.8.0-31-generic has no i915" in found["lines"][0]


def test_no_kernel_is_installed_where_one_that_serves_is_there() -> None:
    kernels = (("6.12.95+deb12-amd64", True), ("6.1.0-28-amd64", True))
    found = plan(host(kernels=kernels, firmware_missing=[]))
    assert found["packages"] == []
    assert found["reboot"] == [
        "kernel 6.1.0-28-amd64 runs, and the first for it is 6.7; 6.12.95+deb12-amd64 is installed"
    ]
    assert found["shortcoming"].endswith(
        "reboot the host, or set intel_gpu_reboot to when_needed, and run again"
    )


def test_a_reboot_that_would_start_a_kernel_without_i915_is_not_wanted() -> None:
    kernels = (("6.12.48+deb13-cloud-amd64", False), ("6.12.48+deb13-amd64", True))
    found = plan(
        host(DEBIAN_13, "6.12.48+deb13-cloud-amd64", i915=False, kernels=kernels, firmware_missing=[])
    )
    assert (found["packages"], found["reboot"]) == ([], [])
    assert (
        "the boot loader starts 6.12.48+deb13-cloud-amd64; have it start 6.12.48+deb13-amd64"
        in found["shortcoming"]
    )


def test_firmware_that_came_after_the_boot_needs_the_boot_image_and_a_reboot() -> None:
    facts = host(
        DEBIAN_13, "6.12.48+deb13-amd64", firmware_missing=[], changed_since_boot=True, boot_image_stale=True
    )
    found = plan(facts)
    assert found["boot_image"] == "6.12.48+deb13-amd64"
    assert found["reboot"] == ["firmware or driver came after the boot"]
    facts["gpu_driver"] |= {"changed_since_boot": False, "boot_image_stale": False}
    assert not plan(facts)["due"]
    assert "see `dmesg" in plan(facts)["shortcoming"]


def test_a_wedged_gpu_with_its_firmware_missing_gets_it() -> None:
    found = plan(host(DEBIAN_13, "6.12.48+deb13-amd64", bound="i915", guc="MISSING"))
    assert found["packages"] == ["firmware-intel-graphics"]
    assert "whose GuC firmware does not run: MISSING" in found["shortcoming"]


def test_firmware_that_its_package_has_lost_is_installed_anew_by_hand() -> None:
    found = plan(host(DEBIAN_13, "6.12.48+deb13-amd64", packages=["firmware-intel-graphics"]))
    assert found["shortcoming"].endswith("`apt-get install --reinstall firmware-intel-graphics`, and reboot")


def test_a_newer_kernel_is_booted_where_it_was_asked_for() -> None:
    kernels = (("7.0.0-44-generic", True), ("6.8.0-31-generic", True))
    installed = ["linux-image-generic-hwe-24.04", "linux-firmware"]
    facts = host(UBUNTU_24, "6.8.0-31-generic", bound="i915", kernels=kernels, packages=installed)
    assert plan(facts)["reboot"] == []
    found = plan(facts, manage_driver="always", ubuntu_kernel="hwe")
    assert found["reboot"] == [
        "kernel 6.8.0-31-generic runs, and 7.0.0-44-generic was asked for and is installed"
    ]
    assert (found["due"], found["will_change"], found["shortcoming"]) == (True, False, "")
    assert plan(facts, manage_driver="always", ubuntu_kernel="hwe", reboot="when_needed")["will_change"]


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ({"verdict": "a VERDICT"}, "GPU 8086:7d55 at 0000:00:02.0 is a VERDICT; serve with"),
        (None, "no Intel GPU found under /sys; enable the iGPU"),
    ],
)  # fmt: skip
def test_what_no_driver_can_help_is_refused_and_gets_none(gpu: dict[str, Any] | None, said: str) -> None:
    facts = host(gpu=gpu)
    facts |= {"gpu_driver": None} | ({"gpu": None} if gpu is None else {})
    for mode in ("when_needed", "always"):
        found = plan(facts, manage_driver=mode)
        assert not found["due"]
        assert found["shortcoming"].startswith(said)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (host(bound="xe"), "is bound to xe, not to i915"),
        (host(), "is bound to no driver, not to i915"),
        (host(bound="i915", gpu={"render_node": None}), "has no render node"),
    ],
)
def test_the_first_thing_that_is_missing_is_said(facts: dict[str, Any], said: str) -> None:
    assert said in plan(facts)["shortcoming"]


def test_a_render_node_of_group_0_is_no_use() -> None:
    assert "belongs to group 0" in plan(host(bound="i915", gpu={"render_gid": 0}))["shortcoming"]


def test_an_unknown_distribution_is_refused_and_told_what_it_takes() -> None:
    found = plan(host(FEDORA, "6.1.0"))
    assert (found["due"], found["packages"], found["files"]) == (True, [], [])
    assert "of Fedora 42 are not known to this role" in found["refusal"]


def test_debian_12_lets_only_the_named_packages_in_from_backports() -> None:
    found = plan(host())
    assert content(found, "ovms-edge-gpu.sources").count("\n\n") == 1
    for component in ("main", "non-free-firmware"):
        assert (
            "Types: deb\nURIs: http://mirror.example/os\nSuites: bookworm-backports\n"
            f"Components: {component}\nSigned-By: {KEYRING}\n"
        ) in content(found, "ovms-edge-gpu.sources")
        assert (
            f"Package: *\nPin: release n=bookworm-backports, c={component}\nPin-Priority: -1\n"
        ) in content(found, "preferences.d/ovms-edge-gpu")
    assert (
        "Package: linux-image-amd64 linux-image-*+deb12-amd64 linux-image-*+bpo-amd64\n"
        "Pin: release n=bookworm-backports, c=main\nPin-Priority: 990\n"
    ) in content(found, "preferences.d/ovms-edge-gpu")


def test_backports_that_the_host_had_before_keep_the_hosts_own_policy() -> None:
    mine = [*SOURCES["debian_12"], source("bookworm-backports", "main", "non-free-firmware")]
    found = plan(host(sources=mine))
    assert content(found, "ovms-edge-gpu.sources") == ""
    assert "Package: *" not in content(found, "preferences.d/ovms-edge-gpu")
    assert "Package: linux-image-amd64 " in content(found, "preferences.d/ovms-edge-gpu")


def test_the_roles_own_source_does_not_count_as_the_hosts() -> None:
    mine = [*SOURCES["debian_12"], source("bookworm-backports", "main", file="ovms-edge-gpu.sources")]
    assert plan(host(sources=mine))["files"] == plan(host())["files"]


def test_a_source_is_signed_and_trusted_as_the_hosts_own() -> None:
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ\n-----END PGP PUBLIC KEY BLOCK-----"
    found = plan(host(sources=[source("bookworm", "main", signed_by=key, trusted=True)]))
    text = content(found, "ovms-edge-gpu.sources")
    assert (
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n -----END PGP PUBLIC KEY BLOCK-----\n"
        in text
    )
    assert "Trusted: yes\n" in text


@pytest.mark.parametrize("system", [UBUNTU_22, UBUNTU_24])
def test_ubuntu_needs_no_sources_and_pins_of_ours(system: dict[str, str]) -> None:
    assert plan(host(system, "5.15.0-1-generic"))["files"] == []


@pytest.mark.parametrize(
    ("system", "root"),
    [(DEBIAN_12, "debian"), (DEBIAN_13, "debian"), (UBUNTU_22, "ubuntu"), (UBUNTU_24, "ubuntu")],
)
def test_a_mirror_is_the_one_root_of_all(system: dict[str, str], root: str) -> None:
    found = plan(host(system, "5.15.0-1-generic"), mirror="http://depot.example/mirror/")
    text = content(found, "ovms-edge-gpu.sources")
    uris = {line for line in text.splitlines() if line.startswith("URIs:")}
    assert uris == {f"URIs: http://depot.example/mirror/{root}"}
    assert f"/usr/share/keyrings/{root}-archive-keyring.gpg" in text


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "no source of bookworm main in /etc/apt/sources.list"),
        ([source("bookworm", "main", has_login=True)], "move it to /etc/apt/auth.conf.d"),
    ],
)
def test_a_host_whose_own_source_cannot_be_used_is_refused(sources: list[Any], said: str) -> None:
    assert said in plan(host(sources=sources))["refusal"]


def test_the_runtime_of_ubuntu_24_comes_from_its_archive() -> None:
    facts = host(UBUNTU_24, "6.8.0-31-generic", bound="i915")
    found = plan(facts, runtime=True)
    assert found["packages"][0] == "intel-opencl-icd"
    assert (found["files"], found["shortcoming"]) == ([], "")
    facts["gpu_driver"]["packages"] = found["packages"]
    assert not plan(facts, runtime=True)["due"]


def test_the_runtime_of_ubuntu_22_needs_a_repository_and_nothing_else_comes_from_it() -> None:
    facts = host(UBUNTU_22, "6.8.0-31-generic", bound="i915")
    assert "set intel_gpu_runtime_repository" in plan(facts, runtime=True)["refusal"]
    found = plan(facts, runtime=True, repository=REPOSITORY)
    assert content(found, "keyrings/ovms-edge-gpu.asc") == REPOSITORY["key"]
    assert "Components: unified\nSigned-By: /etc/apt/keyrings/ovms-edge-gpu.asc\n" in content(
        found, ".sources"
    )
    assert "Package: *\nPin: release c=unified\nPin-Priority: -1\n" in content(
        found, "preferences.d/ovms-edge-gpu"
    )


def test_a_repository_whose_component_is_a_common_one_is_told_by_its_host() -> None:
    mine = {**REPOSITORY, "url": "https://ppa.example/x/ubuntu", "suites": ["noble"], "components": ["main"]}
    found = plan(host(UBUNTU_24, "6.8.0-31-generic", bound="i915"), runtime=True, repository=mine)
    assert 'Pin: origin "ppa.example"\nPin-Priority: -1\n' in content(found, "preferences.d/ovms-edge-gpu")


@pytest.mark.parametrize("system", [DEBIAN_12, DEBIAN_13])
def test_debian_has_no_runtime_for_it(system: dict[str, str]) -> None:
    found = plan(host(system, "6.12.1", bound="i915"), runtime=True)
    assert not found["due"]
    assert "intel_gpu_runtime is true, and" in found["shortcoming"]
