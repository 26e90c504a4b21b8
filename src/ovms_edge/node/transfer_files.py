"""What a running ``stage`` says of itself, and what it is told from outside."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.files import write_atomic
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.rate import Schedule, parse_rate

SCHEDULED, UNLIMITED = "schedule", "unlimited"
RUNNING = frozenset({"planning", "fetching", "waiting", "paused", "verifying"})
_START_TIME_FIELD = 19  # of /proc/PID/stat after the command's name: field 22 of proc(5)


@dataclass(frozen=True)
class Control:
    """``rate``: ``schedule`` (that of node.json), ``unlimited``, or one that holds until told otherwise."""

    paused: bool = False
    rate: str = SCHEDULED

    def limit(self, scheduled: int | None) -> int | None:
        """Return bytes a second, None for no limit; ``scheduled`` is what the schedule says now."""
        if self.rate == SCHEDULED:
            return scheduled
        return None if self.rate == UNLIMITED else parse_rate(self.rate)


def closed_reason(control: Control, schedule: Schedule, now: datetime) -> str:
    """Return why nothing may come at a local time, and what changes it."""
    if control.rate != SCHEDULED:
        return "the rate was set to 0; ovms-node transfer rate sets another"
    change = schedule.next_change(now)
    return f"closed by the schedule {f'until {change:%a %H:%M}' if change else 'at all times'}"


def load_control(paths: StatePaths) -> Control:
    """Return what was last told; raises EdgeError if the file is damaged."""
    path = paths.transfer_control
    try:
        document = json.loads(path.read_bytes())
        control = Control(document["paused"] is True, str(document["rate"]))
        control.limit(None)
    except FileNotFoundError:
        return Control()
    except (ValueError, KeyError, TypeError, EdgeError) as error:
        raise EdgeError(f"{path} is damaged: {error}", "run ovms-node transfer resume") from error
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", "see the host's disk") from error
    return control


def save_control(paths: StatePaths, control: Control) -> None:
    """Tell whoever transfers, now and later."""
    paths.root.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomic(paths.transfer_control, json.dumps(asdict(control)).encode() + b"\n", 0o644)


def write_status(path: Path, document: dict[str, Any], *, durable: bool) -> None:
    """Replace the status; not ``durable`` each second: after a power cut no process is there anyway."""
    data = json.dumps(document).encode() + b"\n"
    if durable:
        write_atomic(path, data, 0o644)
        return
    new = path.with_name(f".{path.name}.now")
    new.write_bytes(data)
    new.chmod(0o644)  # for whoever watches, whatever the umask
    new.rename(path)


def read_status(paths: StatePaths) -> dict[str, Any]:
    """Return what the last transfer said; ``interrupted``: its process is gone, ``idle``: there was none."""
    try:
        document: dict[str, Any] = json.loads(paths.transfer.read_bytes())
        running, process = document["state"] in RUNNING, document.pop("process")
    except FileNotFoundError:
        return {"state": "idle"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError(f"{paths.transfer} is damaged: {error}", "stage again: it is written anew") from error
    if running and process != process_identity(document.get("pid")):
        document |= {
            "state": "interrupted",
            "reason": "its process is gone",
            "remedy": f"go on with ovms-node stage {document.get('release')}",
            "rate_now": 0,
            "seconds_left": None,
        }
    return document


def process_identity(pid: object) -> str | None:
    """Return what tells a process from a later one with the same number; None if it is gone.

    The boot's id and the start time in clock ticks since boot (proc(5), /proc/PID/stat).
    """
    if not isinstance(pid, int):
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" else f"{boot} {fields[_START_TIME_FIELD - 1]}"


def own_process() -> dict[str, Any]:
    """Return the two fields by which ``read_status`` knows this process."""
    return {"pid": os.getpid(), "process": process_identity(os.getpid())}
