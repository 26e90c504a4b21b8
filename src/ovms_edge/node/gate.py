"""The gate: the one check that decides whether a container serves what it should.

It asks the running service. AVAILABLE alone proves little: OVMS allocates KV memory at the first request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.golden import Times, fault_of, lateness_of
from ovms_edge.node.container import RELEASE_LABEL, SPEC_LABEL
from ovms_edge.node.devices import logged_devices, unix_time
from ovms_edge.node.docker import Docker, EngineLostError
from ovms_edge.node.gate_report import Answered, Check, GateReport, Target
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.own_words import last_error
from ovms_edge.node.probe import Question, questions, warm_up
from ovms_edge.node.slots import Slot
from ovms_edge.ovms.client import Completion, OvmsRefusedError, OvmsUnreachableError

Route = tuple[Gateway, Slot]

LOG_TAIL_LINES = 40
# HAProxy looks at a server that was down every 200 ms, and is itself started again at once if it was killed.
_ROUTE_SECONDS = 5.0
_POLL_SECONDS = 0.25
# How much of the time for loading a model that loads beside another may take up with little of the processor.
_PATIENT_PART = 0.2
# How long after its connections broke the engine may still say that a process runs.
_END_SEEN_SECONDS = 1.0
_END_POLL_SECONDS = 0.1
_SEE_LOG = "see log_tail, or docker logs {}"


class _OvmsFailedError(EdgeError):
    """OVMS itself gave up: its log says why."""


def run_gate(
    docker: Docker,
    target: Target,
    wait_seconds: float,
    route: Route | None = None,
    hurry: Callable[[], None] = lambda: None,
) -> GateReport:
    """Check the container of ``target``, waiting at most ``wait_seconds`` for the servable to load.

    ``hurry`` is called when it has, before the first question, or when a part of the time for it is over.
    With ``route``, what the gateway does is checked too.
    """
    report = GateReport(target)
    steps: list[tuple[str, Callable[[], str]]] = [
        ("container", lambda: _check_container(docker, report)),
        ("state", lambda: _wait_available(docker, report, wait_seconds, hurry)),
        ("listed", lambda: _check_listed(target)),
        ("device", lambda: _check_device(docker, report)),
        ("answer", lambda: _check_answers(docker, report)),
    ]
    if route:
        steps.append(("gateway", lambda: check_route(*route)))
    for step, action in steps:
        try:
            report.checks.append(Check(step, True, action()))
        except EdgeError as error:
            reason = error.reason
            if isinstance(error, _OvmsFailedError):
                reason += _own_words(docker, report)
            report.checks.append(Check(step, False, reason))
            report.failure = (reason, error.remedy)
            report.blames_release = not isinstance(error, EngineLostError)
            break
    return report


def check_route(gateway: Gateway, slot: Slot) -> str:
    """Return what the gateway does; raises EdgeError if it does not send requests to ``slot``."""
    gateway.wait_for(slot, _ROUTE_SECONDS)
    return f"{gateway.url} sends requests to slot {slot}"


def log_tail(docker: Docker, container: str) -> list[str]:
    """Return the last lines of a container's log; none if the container is gone."""
    try:
        return list(docker.log_lines(container, tail=str(LOG_TAIL_LINES)))
    except EdgeError:
        return []


def _own_words(docker: Docker, report: GateReport) -> str:
    """Return what OVMS logged of its failure since it started, as the end of a sentence."""
    since = unix_time(report.container_started) if report.container_started else "0"
    try:
        said = last_error(docker.log_lines(report.target.container, since=since))
    except EdgeError:
        said = ""
    return f": {said}" if said else ""


def _check_container(docker: Docker, report: GateReport) -> str:
    name = report.target.container
    seen = docker.container(name)
    if seen is None:
        raise EdgeError(f"no container {name}", f"run ovms-node activate {report.target.manifest.ref}")
    _require_spec(seen, report.target)
    report.restarts = seen["RestartCount"]
    report.container_started = seen["State"]["StartedAt"]
    _require_running(seen, name)
    return f"{name} runs since {report.container_started}"


def _require_spec(seen: dict[str, Any], target: Target) -> None:
    """Refuse a container that an activation which was killed before its verdict left under our name."""
    labels = seen["Config"].get("Labels") or {}
    spec = labels.get(SPEC_LABEL, "")
    if spec != target.spec:
        release = labels.get(RELEASE_LABEL) or "no release of ours"
        raise EdgeError(
            f"container {target.container} holds {release} "
            f"(spec {spec[:12] or 'none'}), not {target.manifest.ref} (spec {target.spec[:12]}): "
            "an activation was interrupted",
            "call ovms-node activate again",
        )


def _require_running(seen: dict[str, Any], name: str) -> None:
    state = seen["State"]
    if state["Status"] == "running":
        return
    memory = " (out of memory)" if state.get("OOMKilled") else ""
    raise _OvmsFailedError(
        f"container {name} is {state['Status']}, exit code {state['ExitCode']}{memory}", _SEE_LOG.format(name)
    )


def _wait_available(
    docker: Docker, report: GateReport, wait_seconds: float, hurry: Callable[[], None]
) -> str:
    settings, see_log = report.target.settings, _SEE_LOG.format(report.target.container)
    started = time.monotonic()
    while True:
        entry, silence = None, ""
        try:
            entry = report.target.client.servables().get(settings.servable)
        except OvmsUnreachableError as error:
            silence = error.reason
        report.state = entry.state if entry else None
        if entry and entry.available:
            hurry()
            return f"AVAILABLE after {time.monotonic() - started:.1f} s"
        if entry and entry.failed:
            report.load_failed = True
            raise _OvmsFailedError(
                f"OVMS could not load {settings.servable}: {entry.state}, {entry.error_code}",
                see_log,
            )
        _require_not_restarted(docker, report)
        if time.monotonic() - started >= _PATIENT_PART * wait_seconds:
            hurry()
        if time.monotonic() - started >= wait_seconds:
            found = entry.state if entry else silence or "OVMS does not list it yet"
            raise EdgeError(
                f"{settings.servable} is not AVAILABLE after {wait_seconds:g} s: {found}",
                f"{see_log}; raise start_timeout_seconds if it is still loading",
            )
        time.sleep(_POLL_SECONDS)


def _require_not_restarted(docker: Docker, report: GateReport) -> None:
    name = report.target.container
    seen = docker.container(name)
    if seen is None:
        raise EdgeError(f"container {name} was removed meanwhile", "call again")
    _require_running(seen, name)
    if seen["RestartCount"] != report.restarts or seen["State"]["StartedAt"] != report.container_started:
        raise _OvmsFailedError(f"OVMS ended and was started again in container {name}", _SEE_LOG.format(name))


def _check_listed(target: Target) -> str:
    listed = target.client.models()
    if target.settings.servable not in listed:
        raise EdgeError(
            f"/v3/models lists {', '.join(listed) or 'nothing'}, not {target.settings.servable}",
            "activate the release again",
        )
    return f"/v3/models lists {target.settings.servable}"


def _check_device(docker: Docker, report: GateReport) -> str:
    target = report.target
    wanted = target.settings.device
    report.devices = logged_devices(docker, target.container, report.container_started)
    if not report.devices and target.known_start == report.container_started:
        report.devices = target.known_devices  # the log was rotated since
    if not any(device == wanted or device.startswith(f"{wanted}.") for device in report.devices):
        raise EdgeError(
            f"OVMS sees {', '.join(report.devices) or 'no device it logged'}; the graph asks for {wanted}",
            "check the render node's group and driver with ovms-node facts, or set device to CPU",
        )
    return f"OVMS sees {', '.join(report.devices)}"


def _check_answers(docker: Docker, report: GateReport) -> str:
    """Ask the golden set, after a question that does not count: the first one allocates the KV memory."""
    target = report.target
    asked = questions(target.manifest, target.release_directory, target.settings.servable)
    report.warm_up_seconds = _ask(docker, report, warm_up(target.settings.servable), "warm-up").total_seconds
    for question in asked:
        slowest: Times | None = None
        for turn in range(1, question.case.repeat + 1):
            of = f", {turn} of {question.case.repeat}" if question.case.repeat > 1 else ""
            answer = _ask(docker, report, question, f"{question.case.id!r}{of}")
            took = Times(_rounded(answer.first_token_seconds), round(answer.total_seconds, 3))
            if slowest is None:
                report.answers.append(Answered(question.case.id, question.key, took))
            if slowest is None or took.total_seconds > slowest.total_seconds:
                slowest = took
                report.answers[-1] = Answered(question.case.id, question.key, took)
            _judge(question, answer, took, report, of)
    _require_not_restarted(docker, report)
    return f"{len(asked)} answered, the first in {report.answers[0].times.total_seconds} s"


def _ask(docker: Docker, report: GateReport, question: Question, what: str) -> Completion:
    """Ask; a server that ended meanwhile is named as that and not as a connection that broke."""
    settings = report.target.settings
    try:
        return report.target.client.chat_stream(question.body, settings.answer_timeout_seconds)
    except OvmsUnreachableError as error:
        deadline = time.monotonic() + _END_SEEN_SECONDS
        while time.monotonic() < deadline:
            try:
                _require_not_restarted(docker, report)
            except (_OvmsFailedError, EngineLostError) as ended:
                raise type(ended)(f"{ended.reason}, asked for {what}", ended.remedy) from error
            except EdgeError as ended:
                raise EdgeError(f"{ended.reason}, asked for {what}", ended.remedy) from error
            time.sleep(_END_POLL_SECONDS)
        raise EdgeError(f"{what}: {error.reason}", error.remedy) from error
    except OvmsRefusedError as error:
        raise EdgeError(f"{what}: {error.reason}", error.remedy) from error


def _judge(question: Question, answer: Completion, took: Times, report: GateReport, of: str) -> None:
    settings, case = report.target.settings, question.case
    faults = (
        f"came from {answer.model!r}" if answer.model != settings.servable else None,
        f"ended with {answer.finish_reason or 'nothing'!r}"
        if answer.finish_reason not in ("stop", "length")
        else None,
        "has no tokens" if answer.completion_tokens < 1 else None,
        "is blank" if not answer.content.strip() else None,
        fault_of(case.expect, answer.content),
    )
    for fault in faults:
        if fault:
            raise EdgeError(
                f"the answer to {case.id!r}{of} {fault}", "do not serve this release: build it again"
            )
    late = lateness_of(case.expect, took, report.target.last_good.get(question.key))
    if late:
        raise EdgeError(
            f"the answer to {case.id!r}{of} {late}",
            "see what else loads this host, or build the release with other bounds",
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
