"""Releases against a real registry, through the command line."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.cli import main
from ovms_edge.release.transport import Transport
from tests.e2e import registry as depot
from tests.e2e.registry import Registry, Tls
from tests.e2e.relay import run_relay
from tests.unit.release_model import write_model

pytestmark = pytest.mark.lab

REF = "vlm-int8@1.0.0"
BIG_BYTES = 300 << 20
CUT_BYTES = 100 << 20
MEMORY_LIMIT_KIB = 64 << 10


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return depot.make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def registry(tmp_path: Path, tls: Tls) -> Iterator[Registry]:
    (tmp_path / "registry").mkdir()
    with depot.run_registry(tmp_path / "registry", tls) as running:
        yield running


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transport, "pauses_seconds", (0.05, 0.05))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def build(tmp_path: Path, ref: str = REF, weight: bytes = b"w") -> Path:
    """Build a release with the command; returns its directory."""
    model = write_model(tmp_path / f"model-{ref}-{weight.decode()}", weight=weight)
    output = tmp_path / f"out-{weight.decode()}"
    assert main(["release", "build", "--model", str(model), "--release", ref, "--output", str(output)]) == 0
    return output / ref.replace("@", "/")


def sign(release: Path, key: Path) -> Path:
    assert main(["release", "sign", str(release), "--key", str(key)]) == 0
    return release


@pytest.fixture
def release(tmp_path: Path, key: Path) -> Path:
    return sign(build(tmp_path), key)


def at(registry: Registry) -> list[str]:
    return ["--depot", registry.url, "--ca", str(registry.ca), "--credentials", str(registry.credentials)]


def publish(release: Path, registry: Registry) -> int:
    return main(["release", "publish", str(release), *at(registry)])


def fetch(registry: Registry, path: str) -> bytes:
    """GET with the standard library, as a node does."""
    auths = json.loads(registry.credentials.read_text())["auths"]
    request = urllib.request.Request(  # noqa: S310 (the registry's own https URL)
        f"{registry.url}/v2/models/{path}",
        headers={
            "Authorization": f"Basic {auths[registry.host]['auth']}",
            "Accept": "application/vnd.oci.image.manifest.v1+json",
        },
    )
    context = ssl.create_default_context(cafile=str(registry.ca))
    with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310
        return bytes(answer.read())


def tags(registry: Registry) -> list[str]:
    found = registry.root / "docker/registry/v2/repositories/models/vlm-int8/_manifests/tags"
    return sorted(path.name for path in found.iterdir()) if found.exists() else []


def test_every_file_can_be_fetched_by_what_the_manifest_says(release: Path, registry: Registry) -> None:
    assert publish(release, registry) == 0
    artifact = json.loads(fetch(registry, "vlm-int8/manifests/1.0.0"))
    paths = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in artifact["layers"]}
    assert set(paths) == {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()}
    for path, layer in paths.items():
        data = fetch(registry, f"vlm-int8/blobs/{layer['digest']}")
        assert data == (release / path).read_bytes()
        assert layer["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    config = json.loads(fetch(registry, f"vlm-int8/blobs/{artifact['config']['digest']}"))
    assert len(config["modelfs"]["diffIds"]) == len(artifact["layers"])


def test_publishing_again_sends_nothing(
    release: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(release, registry) == 0
    capsys.readouterr()
    assert publish(release, registry) == 0
    assert "already published" in (said := capsys.readouterr().out)
    assert ", 0 B of " in said


def test_next_version_sends_only_what_changed(
    release: Path, registry: Registry, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(release, registry) == 0
    model = write_model(tmp_path / "next")
    (model / "openvino_language_model.bin").write_bytes(b"x" * 256)
    output = tmp_path / "out-next"
    command = ["release", "build", "--model", str(model), "--release", "vlm-int8@1.0.1"]
    assert main([*command, "--output", str(output)]) == 0
    following = sign(output / "vlm-int8/1.0.1", key)
    capsys.readouterr()
    command = ["release", "publish", str(following), *at(registry), "--verbose"]
    assert main(command) == 0
    uploaded = {line.split()[1] for line in capsys.readouterr().err.splitlines() if line.endswith("uploaded")}
    assert uploaded == {"openvino_language_model.bin:", "manifest.json:", "manifest.json.sig:", "model"}
    assert tags(registry) == ["1.0.0", "1.0.1"]


def test_version_in_the_depot_is_never_replaced(
    release: Path, registry: Registry, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(release, registry) == 0
    before = fetch(registry, "vlm-int8/manifests/1.0.0")
    other = sign(build(tmp_path, weight=b"v"), key)
    assert publish(other, registry) == 1
    assert "choose another version" in capsys.readouterr().err
    assert fetch(registry, "vlm-int8/manifests/1.0.0") == before


def test_unsigned_release_is_not_published(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(build(tmp_path), registry) == 1
    assert "is not signed" in capsys.readouterr().err
    assert tags(registry) == []


def test_signature_of_another_release_is_not_published(
    registry: Registry, release: Path, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = sign(build(tmp_path, weight=b"v"), key)
    shutil.copyfile(other / "manifest.json.sig", release / "manifest.json.sig")
    assert publish(release, registry) == 1
    assert "no signature of this manifest" in capsys.readouterr().err


def test_file_changed_after_the_build_is_not_published(
    release: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    path = release / "openvino_language_model.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    assert publish(release, registry) == 1
    said = capsys.readouterr().err
    assert "openvino_language_model.bin changed after the build" in said
    assert tags(registry) == []


@pytest.mark.parametrize("fault", ["password", "nobody", "ca", "down"])
def test_depot_that_refuses_is_named_and_keeps_the_password(
    release: Path,
    registry: Registry,
    tls: Tls,
    tmp_path: Path,
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = "another-secret"
    expected = {
        "password": f"refuses user {depot.USER!r}: 401",
        "nobody": "there is none for",
        "ca": "is not trusted",
        "down": "connection refused",
    }
    if fault == "password":
        depot.write_credentials(registry.credentials, registry.host, password=secret)
    elif fault == "nobody":
        registry.credentials.write_text("{}")
    elif fault == "ca":
        (tmp_path / "other").mkdir()
        registry.ca = depot.make_tls(tmp_path / "other").ca
    else:
        registry.stop()
    assert publish(release, registry) == 1
    captured = capsys.readouterr()
    assert expected[fault] in captured.err
    assert "remedy: " in captured.err
    assert secret not in captured.err + captured.out
    assert depot.PASSWORD not in captured.err + captured.out


def test_publish_goes_on_where_a_kill_ended_it(
    release: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The publisher dies after the blobs, before the tag: no release is seen, no byte sent twice."""
    program = (
        "import os, sys\n"
        "from ovms_edge.release import depot\n"
        "def killed(*arguments): os._exit(9)\n"
        "depot.Depot.put_manifest = killed\n"
        "from ovms_edge.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "release", "publish", str(release), *at(registry)]
    assert subprocess.run(command, check=False, env=with_sources()).returncode == 9
    assert tags(registry) == []
    capsys.readouterr()
    assert publish(release, registry) == 0
    assert ", 0 B of " in capsys.readouterr().out
    assert tags(registry) == ["1.0.0"]


def test_inspect_tells_what_the_depot_has(
    release: Path, registry: Registry, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(release, registry) == 0
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"builder@example {key.with_suffix('.pub').read_text()}")
    capsys.readouterr()
    command = ["release", "inspect", REF, *at(registry), "--allowed-signers", str(signers)]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["release"] == REF
    assert document["missing"] == []
    assert document["signature"]["principal"] == "builder@example"
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "builder@example" in text
    assert "openvino_language_model.bin" in text


def test_inspect_of_what_is_not_there_says_so(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "inspect", "vlm-int8@9", *at(registry)]) == 1
    assert "has no vlm-int8@9" in capsys.readouterr().err


def test_bearer_tokens_open_the_depot(release: Path, tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with (
        depot.run_token_server(tls) as realm,
        depot.run_registry(tmp_path / "registry", tls, token_realm=realm) as registry,
    ):
        assert publish(release, registry) == 0
        assert tags(registry) == ["1.0.0"]
        assert main(["release", "inspect", REF, *at(registry)]) == 0


def test_token_server_that_refuses_is_named(
    release: Path, tls: Tls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "registry").mkdir()
    with (
        depot.run_token_server(tls) as realm,
        depot.run_registry(tmp_path / "registry", tls, token_realm=realm) as registry,
    ):
        depot.write_credentials(registry.credentials, registry.host, password="another-secret")
        assert publish(release, registry) == 1
    said = capsys.readouterr().err
    assert f"refuses user {depot.USER!r}: 401" in said
    assert "another-secret" not in said


def test_publishing_takes_little_memory_at_any_size(tmp_path: Path, key: Path, registry: Registry) -> None:
    model = write_model(tmp_path / "big")
    with (model / "extra_weights.bin").open("wb") as stream:
        for _ in range(BIG_BYTES >> 20):
            stream.write(os.urandom(1 << 20))
    output = tmp_path / "out"
    assert main(["release", "build", "--model", str(model), "--release", REF, "--output", str(output)]) == 0
    release = sign(output / "vlm-int8/1.0.0", key)
    program = (
        # not ru_maxrss: that starts with what the process that forked this one, pytest, had
        "import re, sys\n"
        "from pathlib import Path\n"
        "from ovms_edge.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "sys.exit(status)\n"
    )
    command = [sys.executable, "-c", program, "release", "publish", str(release), *at(registry)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=with_sources())
    uploaded = re.search(r"([0-9.]+) MiB of ([0-9.]+) MiB uploaded", done.stdout)
    assert uploaded
    assert BIG_BYTES >> 20 <= float(uploaded[1]) == float(uploaded[2])
    assert int(done.stdout.splitlines()[-1]) < MEMORY_LIMIT_KIB


@pytest.mark.parametrize("ending", ["cut", "kill"])
def test_publish_of_a_large_file_that_is_cut_off_ends_in_the_whole_release(
    tmp_path: Path, key: Path, registry: Registry, ending: str
) -> None:
    """This registry (2.8) forgets an upload that was cut: what is asked for here is that nothing is lost."""
    model = write_model(tmp_path / "big")
    data = random.Random(3).randbytes(CUT_BYTES)  # noqa: S311
    (model / "extra_weights.bin").write_bytes(data)
    output = tmp_path / "out"
    assert main(["release", "build", "--model", str(model), "--release", REF, "--output", str(output)]) == 0
    release = sign(output / "vlm-int8/1.0.0", key)
    with run_relay(registry.host) as relay:
        depot.write_credentials(registry.credentials, relay.host)
        options = ["--ca", str(registry.ca), "--credentials", str(registry.credentials)]
        command = [*("release", "publish", str(release), "--depot", f"https://{relay.host}"), *options]
        program = "import sys; from ovms_edge.cli import main; sys.exit(main(sys.argv[1:]))"
        with subprocess.Popen([sys.executable, "-c", program, *command], env=with_sources()) as process:
            while relay.up_bytes < CUT_BYTES // 2:
                assert process.poll() is None
                time.sleep(0.005)
            if ending == "cut":
                relay.cut()
                relay.mend()
            else:
                process.kill()
        assert (process.returncode == 0) == (ending == "cut")
        assert main(command) == 0
    depot.write_credentials(registry.credentials, registry.host)
    assert fetch(registry, f"vlm-int8/blobs/sha256:{hashlib.sha256(data).hexdigest()}") == data
    assert not list(release.parent.glob(".*upload"))


def with_sources() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
