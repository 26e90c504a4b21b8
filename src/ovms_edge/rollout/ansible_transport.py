"""The transport to real stores: the playbooks that a person would run, through ansible-runner.

A controller that dies usually takes its runs with it: ansible-runner gives ansible-playbook a terminal of its
own, which hangs up then; see ``orphans`` for the rest. What a store was told it finishes by itself.
"""

from __future__ import annotations

import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ansible_runner  # type: ignore[import-untyped]

from ovms_edge.errors import EdgeError
from ovms_edge.node.run import LONGEST
from ovms_edge.node.run import VARIABLE as RUN_ID
from ovms_edge.rollout.answers import Run
from ovms_edge.rollout.orphans import MARK
from ovms_edge.rollout.transport import Kind, Order, Result

_FORKS = 50
_PLAYBOOKS = {
    Kind.STAGE: "stage_release.yml",
    Kind.ACTIVATE: "activate_release.yml",
    Kind.VERIFY: "verify_fleet.yml",
    Kind.BACK: "rollback_release.yml",
}


class AnsibleTransport:
    """``project`` is the checkout whose playbooks run.

    Below ``logs`` is kept what the runs of ``rollout`` printed that failed.
    """

    def __init__(self, project: Path, inventory: str, rollout: str, logs: Path) -> None:
        self._project, self._inventory, self._rollout = project, inventory, rollout
        self._logs = logs / rollout
        self._results: queue.Queue[Result | Exception] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def send(self, orders: Sequence[Order]) -> None:
        """Start one ansible-playbook for each order."""
        for order in orders:
            thread = threading.Thread(target=self._run, args=(order,), daemon=True)
            thread.start()
            self._threads = [running for running in self._threads if running.is_alive()] + [thread]

    def results(self, seconds: float) -> list[Result]:
        """Return what came in; waits at most ``seconds`` for the first.

        Raises EdgeError for a run that never came to a store: that says nothing of any.
        """
        come: list[Result] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                one = self._results.get(timeout=0 if come else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return come
            if isinstance(one, Exception):
                raise one
            come.append(one)

    def close(self) -> None:
        """End the runs."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _run(self, order: Order) -> None:
        run = Run(order, time.monotonic())
        private = Path(tempfile.mkdtemp(prefix="ovms-edge-run-"))
        try:
            done = ansible_runner.run(
                private_data_dir=str(private),
                project_dir=str(self._project),
                playbook=str(self._project / "playbooks" / _PLAYBOOKS[order.kind]),
                inventory=self._inventory or None,  # None: what ansible.cfg says
                limit=f"@{_listed(private, order)}",
                extravars=self._extra_variables(order, private),
                envvars=self._environment(),
                forks=min(_FORKS, len(order.stores)),
                quiet=True,
                event_handler=lambda event: self._heard(run, event),
                cancel_callback=self._closing.is_set,
            )
            log = self._keep(private, order) if done.rc else None
            if not run.began and not self._closing.is_set():
                said = _last_error(log) or f"it ended with status {done.rc}"
                raise EdgeError(f"ansible-playbook could not begin: {said}", f"mend that; all it said: {log}")
            for result in run.unheard(f"ansible-playbook ended with status {done.rc}"):
                self._results.put(result)
        except Exception as error:  # noqa: BLE001  raised where the engine sees it
            self._results.put(error)
        finally:
            shutil.rmtree(private, ignore_errors=True)

    def _heard(self, run: Run, event: dict[str, Any]) -> bool:
        """Take an event in; returns whether ansible-runner is to keep it, in a file of its own."""
        result = run.heard(event, time.monotonic())
        if result:
            self._results.put(result)
        return False

    def _environment(self) -> dict[str, str]:
        """Return the environment of a run; logs of the stores have the rollout's id, or a chosen one.

        ansible-playbook is to be the one beside this Python, whoever is first in PATH.
        """
        beside = Path(sys.executable).parent
        return {
            RUN_ID: os.environ.get(RUN_ID) or self._rollout[-LONGEST:],
            "ANSIBLE_CONFIG": str(self._project / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            MARK: self._rollout,
            "PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }

    def _extra_variables(self, order: Order, private: Path) -> dict[str, Any]:
        return {
            "model_release_ref": order.release,
            "ovms_server_release": order.release,
            "ovms_server_retry": order.retry,
            "rollback_from": order.release,
            "verify_report_file": str(private / "verify.json"),
        }

    def _keep(self, private: Path, order: Order) -> Path | None:
        """Return where what a run printed is kept; None if it printed nothing."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for printed in private.glob("artifacts/*/stdout"):
            name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{order.kind.value}.log"
            return Path(shutil.copyfile(printed, self._logs / name))
        return None


def _last_error(log: Path | None) -> str | None:
    lines = log.read_text(errors="replace").splitlines() if log else []
    return next((line for line in reversed(lines) if line.startswith("[ERROR]")), None)


def _listed(private: Path, order: Order) -> Path:
    """Return a file with the stores' names: thousands do not fit into an argument."""
    path = private / "stores"
    path.write_text("\n".join(order.stores) + "\n")
    return path
