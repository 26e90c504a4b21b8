"""The way from a bare machine to a serving fleet, as steps. What is current is not made again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import containers, depot, files, images, lab, made, model, standin, store
from .console import Console
from .settings import Settings
from .shell import run
from .steps import Step

STORES = 3
_WITH_STORES = ("stores", "site", "verify")


@dataclass(frozen=True)
class Demo:
    """The steps of `make demo` in one checkout; ``supply_only``: what stores need, without one."""

    settings: Settings
    supply_only: bool = False

    @property
    def python(self) -> Path:
        return self.settings.project / ".venv" / "bin" / "python"

    @property
    def link(self) -> Path:
        return Path("/usr/local/bin/ansible-playbook")

    @property
    def ansible_scratch(self) -> list[Path]:
        """Where Ansible keeps its sockets and scratch files."""
        return [Path.home() / ".ansible" / name for name in ("cp", "tmp")]

    def steps(self) -> list[Step]:
        steps = [
            Step("machine", "packages and Docker engine", (), self._logged(self.machine)),
            Step("images", "container images", ("machine",), self._logged(self.images)),
            Step("venv", "Python environment", ("machine",), self.venv),
            Step("depot", "depot", ("images",), self._logged(self.depot)),
            Step("standin", "OVMS stand-in, in the depot", ("depot",), self._logged(self.standin)),
            Step("stores", "three store hosts", ("depot",), self._logged(self.stores)),
            Step("model", "tiny Qwen2.5-VL", ("venv",), self.model),
            Step("export", "export to INT8", ("model",), self.export),
            Step("release", "release: build, sign, publish", ("export", "depot"), self.release),
            Step(
                "site", "stores from bare to serving (site.yml)", ("release", "standin", "stores"), self.site
            ),
            Step("verify", "every store answers (verify_fleet.yml)", ("site",), self.verify),
        ]
        return [step for step in steps if not (self.supply_only and step.name in _WITH_STORES)]

    def announcement(self) -> list[str]:
        """What the demo will make on this machine that is not there yet."""
        lines = lab.announcement(self.settings)
        if not self.python.exists():
            lines.append("make the Python environment .venv (torch, OpenVINO, Ansible and others from PyPI)")
        if shutil.which("ansible-playbook") is None:
            lines.append(f"link ansible-playbook to {self.link}")
        if not self.supply_only and not store.known(self.settings):
            lines.append(
                f"start {STORES} stores and a depot as containers, on the network {self.settings.subnet}"
                " (a bridge, with rules in iptables)"
            )
        scratch = [path for path in self.ansible_scratch if not path.exists()]
        if scratch:
            lines.append(f"let Ansible keep sockets and scratch files: {', '.join(map(str, scratch))}")
        return lines

    def _logged(self, work: Callable[[Console], bool]) -> Callable[[Path], bool]:
        """Lab functions report on a console: here, the step's log."""

        def logged(log: Path) -> bool:
            with log.open("w") as file:
                return work(Console(file))

        return logged

    def machine(self, console: Console) -> bool:
        before = lab.machine_is_ready(self.settings)
        lab.prepare_machine(self.settings, console)
        return not before

    def images(self, console: Console) -> bool:
        todo = images.outdated(self.settings)
        images.build(self.settings, console)
        return bool(todo)

    def depot(self, console: Console) -> bool:
        before = containers.states(self.settings).get(depot.container(self.settings))
        lab.prepare_depot(self.settings, console)
        return before != "running"

    def standin(self, console: Console) -> bool:
        return standin.ensure(self.settings, console)

    def stores(self, console: Console) -> bool:
        before = containers.states(self.settings)
        stores = lab.up_stores(self.settings, STORES, console)
        return any(before.get(store.container(self.settings, one.name)) != "running" for one in stores)

    def venv(self, log: Path) -> bool:
        project = self.settings.project
        made.note(self.settings, project / ".venv")
        before = self._venv_stamp()
        # pip's cache goes with the lab, not into the home directory.
        cache = {"PIP_CACHE_DIR": str(self.settings.home / "pip-cache")}
        run(["make", "--no-print-directory", "venv", f"PYTHON={sys.executable}"],
            cwd=project, environment=self._environment(cache), log=log)  # fmt: skip
        if shutil.which("ansible-playbook") is None:
            self.link.unlink(missing_ok=True)  # left by a checkout that is gone
            made.note(self.settings, self.link)
            self.link.symlink_to(project / ".venv" / "bin" / "ansible-playbook")
        return self._venv_stamp() != before

    def _venv_stamp(self) -> float:
        stamp = self.settings.project / ".venv" / ".ready"
        return stamp.stat().st_mtime if stamp.exists() else 0.0

    def model(self, log: Path) -> bool:
        target = self.settings.home / "model" / "source"

        def make() -> None:
            shutil.rmtree(target, ignore_errors=True)
            self._run([self.python, "lab/tiny_model.py", target], log, self._own_home())

        return self._once("model", model.source_key(self.settings), make)

    def export(self, log: Path) -> bool:
        home = self.settings.home / "model"

        def make() -> None:
            shutil.rmtree(home / "repository", ignore_errors=True)
            self._run([
                self.python, "ovms-service/export_model.py", "text_generation",
                "--source_model", home / "source", "--model_name", model.SERVABLE, "--weight-format", "int8",
                "--target_device", "GPU", "--model_repository_path", home / "repository",
                "--cache_size", "2", "--max_num_seqs", "1", "--enable_prefix_caching",
            ], log, self._own_home())  # fmt: skip

        return self._once("export", model.export_key(self.settings), make)

    def release(self, log: Path) -> bool:
        settings, version = self.settings, model.release_version(self.settings)
        releases = settings.home / "releases"
        directory = releases / model.RELEASE_NAME / version

        def make() -> None:
            shutil.rmtree(directory, ignore_errors=True)  # of a run that was interrupted before it published
            self._edge(["release", "build", "--release", model.release_ref(settings), "--output", releases,
                        "--model", settings.home / "model" / "repository" / model.SERVABLE], log)  # fmt: skip
            self._edge(["release", "sign", directory, "--key", settings.home / "signer" / "id_ed25519"], log)
            self._edge(["release", "publish", directory, "--depot", settings.depot_url,
                        "--ca", settings.home / "depot" / "ca.pem",
                        "--credentials", settings.home / "depot" / "credentials.json"], log)  # fmt: skip

        if depot.has(settings, f"models/{model.RELEASE_NAME}", version) is None:
            self._stamp("release").unlink(missing_ok=True)
        return self._once("release", model.release_key(settings), make)

    def site(self, log: Path) -> bool:
        node_tool = self.settings.project / "roles" / "node_agent" / "files" / "ovms-node"
        made.note(self.settings, node_tool)
        made.note(self.settings, self.settings.project / "build" / "verify_fleet.json")
        for directory in self.ansible_scratch:
            made.note(self.settings, directory)
        self._run(["make", "--no-print-directory", "node-tool", f"PYTHON={sys.executable}"], log)
        self._playbook("site.yml", log)
        return True

    def verify(self, log: Path) -> bool:
        self._playbook("playbooks/verify_fleet.yml", log, "-e", f"verify_report_file={self.report}")
        return True

    @property
    def report(self) -> Path:
        return self.settings.home / "verify_fleet.json"

    def table(self) -> str:
        """What each store serves, as the last ``verify`` found it."""
        from plugins.plugin_utils._fleet_table import fleet_table  # of the project, no part of the lab

        return "\n".join(fleet_table(json.loads(self.report.read_text())["stores"]))

    def _playbook(self, name: str, log: Path, *options: str) -> None:
        self._run([self.python.with_name("ansible-playbook"), name, "-l", "stores", *options], log)

    def _edge(self, words: Sequence[str | Path], log: Path) -> None:
        self._run([self.python.with_name("ovms-edge"), *words], log)

    def _run(self, words: Sequence[str | Path], log: Path, more: dict[str, str] | None = None) -> None:
        run(words, cwd=self.settings.project, environment=self._environment(more or {}), log=log)

    def _own_home(self) -> dict[str, str]:
        """A home directory for tools that leave caches and records in it: it goes with the lab."""
        home = self.settings.home / "home"
        # The OpenVINO tools send usage statistics unless this file says no.
        files.write(home / "intel" / "openvino_telemetry", "0")
        return {"HOME": str(home)}

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, **more, "PATH": f"{self.python.parent}:{os.environ['PATH']}"}

    def _stamp(self, name: str) -> Path:
        return self.settings.home / "model" / f"{name}.stamp"

    def _once(self, name: str, key: str, make: Callable[[], None]) -> bool:
        """Call ``make`` unless its last result was made from the same; returns whether it was called."""
        stamp = self._stamp(name)
        if stamp.exists() and stamp.read_text() == key:
            return False
        stamp.unlink(missing_ok=True)
        make()
        files.write(stamp, key)
        return True
