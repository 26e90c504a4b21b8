"""Units of systemd: what looks after this store, and what failed."""

from __future__ import annotations

from ovms_edge.node.doctor.checks.words import some
from ovms_edge.node.doctor.collect_host import TEND_UNIT, TIMER_UNIT, UNITS
from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict

_NO_SYSTEMD = Unknown("systemd does not answer")
# Other checks say what is behind a failure of these.
_JUDGED = (*UNITS, "docker.socket")


def _timer(evidence: Evidence) -> Verdict:
    if evidence.units is None:
        return _NO_SYSTEMD
    active, enabled = evidence.units.active(TIMER_UNIT), evidence.units.file_state(TIMER_UNIT)
    if (active, enabled) == ("active", "enabled"):
        return None
    found = f"{TIMER_UNIT} is {active}, {enabled or 'not there'}: nothing heals this store"
    return Trouble(found, "active, enabled", f"systemctl enable --now {TIMER_UNIT}")


def _tend(evidence: Evidence) -> Verdict:
    if evidence.units is None:
        return _NO_SYSTEMD
    if TEND_UNIT not in evidence.units.failed:
        return None
    fix = f"journalctl -t ovms-node -p err -n 5; systemctl start {TEND_UNIT}"
    return Trouble(f"{TEND_UNIT} failed", "it ends well each half minute", fix)


def _failed(evidence: Evidence) -> Verdict:
    if evidence.units is None:
        return _NO_SYSTEMD
    others = [unit for unit in evidence.units.failed if unit not in _JUDGED]
    if not others:
        return None
    fix = f"journalctl -u {others[0]} -n 20; systemctl restart {others[0]}"
    return Trouble(f"failed: {some(others)}", "no failed unit", fix)


TIMER = Check("units.timer", "error", "ovms-edge-tend.timer", _timer, ("node.set-up",))
FAILED = Check("units.failed", "warning", "failed units of this host", _failed)


def tend_after(others: tuple[str, ...]) -> Check:
    """Return the check of ``ovms-edge-tend.service``: it fails with whatever is behind another finding."""
    return Check("units.tend", "error", "ovms-edge-tend.service", _tend, others)
