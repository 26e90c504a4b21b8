"""The machine of lab/vm as tests see it: commands over SSH, playbooks on it alone, where clients find it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.fleet.console import Console
from lab.fleet.settings import Settings
from lab.vm import life, machine, place

ROOT = Path(__file__).resolve().parents[2]
SERVING_SECONDS = 900.0
_REBOOT_SECONDS = 600.0
_POLL_SECONDS = 5.0
T = TypeVar("T")
_RECAP = re.compile(rf"^{place.NAME}\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A playbook that has ended; ``changed`` is None if it failed or did not reach the store."""

    status: int
    output: str
    changed: int | None


@dataclass(frozen=True)
class Boot:
    """One boot of the store: its id, and the kernel that runs."""

    boot_id: str
    kernel: str


@dataclass(frozen=True)
class VirtualStore:
    settings: Settings

    @property
    def inventory(self) -> Path:
        return place.inventory(self.settings)

    @property
    def gateway(self) -> str:
        """Where a client on this machine finds the store's gateway."""
        return f"http://127.0.0.1:{place.get(self.settings).gateway_port}"

    def shell(self, script: str) -> str:
        """Run it as root; raises CalledProcessError if it fails."""
        command = [*machine.ssh_command(self.settings, place.get(self.settings)), "sudo", "sh", "-s"]
        return subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout

    def boot(self) -> Boot:
        boot_id, kernel = self.shell("cat /proc/sys/kernel/random/boot_id; uname -r").split()
        return Boot(boot_id, kernel)

    def reboot(self) -> Boot:
        """Reboot it as an operator does; returns the boot that followed."""
        before = self.boot()
        self.shell("systemd-run --quiet --on-active=1 systemctl reboot")
        return self._wait(lambda: self._another_boot(before), _REBOOT_SECONDS, "no other boot")

    def power_cut(self) -> Boot:
        """Pull its plug and put it in again; returns the boot that followed."""
        console = Console()
        life.stop(self.settings, console)
        life.start(self.settings, console)
        return self.boot()

    def wait_until_serving(self) -> dict[str, Any]:
        """Return what the gate says once it passes."""
        return self._wait(self._passed, SERVING_SECONDS, "the gate does not pass")

    def playbook(self, name: str, *options: str) -> Run:
        """Run a playbook of the project on it; its output goes to .lab/log too, to be watched."""
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", self.inventory, name, *options]
        log = self.settings.logs / f"vm-{Path(name).stem}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdout=file,
                stderr=file,
                env={**os.environ, "COLUMNS": "1000"},
                check=False,
            )
        recap = _RECAP.search(log.read_text())
        return Run(done.returncode, log.read_text(), int(recap[1]) if recap else None)

    def facts(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.shell("/usr/local/bin/ovms-node facts --json"))
        return document

    def server(self) -> str:
        """Return the name of the container that serves."""
        state = json.loads(self.shell("cat /var/lib/ovms-edge/state.json"))
        return f"ovms-vlm-{state['active']['slot']}"

    def evidence(self) -> list[tuple[str, str]]:
        """What tells why something failed, as title and text."""
        try:
            journal = self.shell("journalctl --boot --no-pager --lines 60; systemctl --no-pager --failed")
        except subprocess.CalledProcessError as error:
            journal = f"not to be had: {error.stderr}"
        return [
            ("serial console", machine.console_tail(self.settings, 40)),
            ("journal of the store", journal),
        ]

    def _another_boot(self, before: Boot) -> Boot | None:
        if not machine.ssh_answers(place.get(self.settings)):
            return None
        now = self.boot()
        return now if now.boot_id != before.boot_id else None

    def _passed(self) -> dict[str, Any] | None:
        document: dict[str, Any] = json.loads(self.shell("/usr/local/bin/ovms-node verify --json || true"))
        return document if document["ok"] else None

    def _wait(self, ask: Callable[[], T | None], seconds: float, failure: str) -> T:
        """Poll ``ask`` until it returns something; while the store goes down, its connections break."""
        deadline, last = time.monotonic() + seconds, "nothing"
        while time.monotonic() < deadline:
            try:
                found = ask()
            except (subprocess.CalledProcessError, ValueError) as error:
                last = f"{error} {getattr(error, 'stderr', '')}"
            else:
                if found is not None:
                    return found
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"{failure} after {seconds:.0f} s, last said: {last}")
