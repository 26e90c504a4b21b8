from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.node.gpu import find_gpu


def device(sysfs: Path, address: str, product: str, **kwargs: str) -> None:
    directory = sysfs / "bus/pci/devices" / address
    (directory / "drm" / "card1").mkdir(parents=True)
    (directory / "vendor").write_text(kwargs.get("vendor", "0x8086") + "\n")
    (directory / "device").write_text(f"0x{product}\n")
    (directory / "class").write_text(kwargs.get("pci_class", "0x030000") + "\n")
    driver = kwargs.get("driver", "i915")
    (directory / "uevent").write_text(
        f"DRIVER={driver}\nPCI_CLASS=30000\n" if driver else "PCI_CLASS=30000\n"
    )
    if node := kwargs.get("node", "renderD128"):
        (directory / "drm" / node).mkdir()


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    (tmp_path / "dev/dri").mkdir(parents=True)
    (tmp_path / "dev/dri/renderD128").touch()
    return tmp_path / "dev"


@pytest.mark.parametrize("product", ["7d40", "7d45", "7d55", "7dd5"])
def test_a_meteor_lake_is_supported(tmp_path: Path, dev: Path, product: str) -> None:
    device(tmp_path, "0000:00:02.0", product)
    gpu = find_gpu(tmp_path, dev)
    assert gpu is not None
    assert (gpu.pci_id, gpu.driver, gpu.generation, gpu.supported) == (
        f"8086:{product}", "i915", "meteor-lake", True,
    )  # fmt: skip
    assert gpu.render_node == str(dev / "dri/renderD128")
    assert gpu.render_gid == (dev / "dri/renderD128").stat().st_gid
    assert gpu.trouble is None


def test_7d60_is_named_as_a_meteor_lake_without_compute(tmp_path: Path, dev: Path) -> None:
    device(tmp_path, "0000:00:02.0", "7d60")
    gpu = find_gpu(tmp_path, dev)
    assert gpu is not None
    assert (gpu.generation, gpu.supported) == ("meteor-lake", False)
    assert gpu.trouble
    assert "8086:7d60 at 0000:00:02.0 is a Meteor Lake that i915 binds to" in gpu.trouble[0]
    assert "d28ac15922" in gpu.verdict


@pytest.mark.parametrize("product", ["7d41", "7d51", "7d67", "7dd1"])
def test_arrow_lake_is_not_taken_for_meteor_lake(tmp_path: Path, dev: Path, product: str) -> None:
    device(tmp_path, "0000:00:02.0", product)
    gpu = find_gpu(tmp_path, dev)
    assert gpu is not None
    assert (gpu.generation, gpu.supported) == ("arrow-lake", False)
    assert gpu.trouble
    assert "an Arrow Lake" in gpu.verdict


def test_a_gpu_of_another_generation_is_named_as_not_known(tmp_path: Path, dev: Path) -> None:
    device(tmp_path, "0000:00:02.0", "56a0")
    gpu = find_gpu(tmp_path, dev)
    assert gpu is not None
    assert (gpu.generation, gpu.verdict) == (None, "not a Meteor Lake that is known to work")


@pytest.mark.parametrize("lacking", [{"driver": ""}, {"node": ""}])
def test_a_gpu_without_driver_or_render_node_is_troubled(
    tmp_path: Path, dev: Path, lacking: dict[str, str]
) -> None:
    device(tmp_path, "0000:00:02.0", "7d55", **lacking)
    gpu = find_gpu(tmp_path, dev)
    assert gpu is not None
    assert gpu.trouble
    assert "none" in gpu.trouble[0]


def test_other_devices_are_passed_over_and_the_supported_gpu_comes_first(tmp_path: Path, dev: Path) -> None:
    device(tmp_path, "0000:00:00.0", "7d55", pci_class="0x060000")
    device(tmp_path, "0000:00:01.0", "56a0", node="")
    device(tmp_path, "0000:01:00.0", "1c82", vendor="0x10de", driver="nouveau", node="")
    device(tmp_path, "0000:02:00.0", "7dd5")
    gpu = find_gpu(tmp_path, dev)
    assert gpu is not None
    assert gpu.pci_id == "8086:7dd5"


def test_no_gpu_is_none(tmp_path: Path) -> None:
    assert find_gpu(tmp_path) is None
    device(tmp_path, "0000:01:00.0", "1c82", vendor="0x10de")
    assert find_gpu(tmp_path) is None
