"""What the events of one ansible-playbook run say of each store. No I/O."""

from __future__ import annotations

from typing import Any

from ovms_edge.rollout.transport import Kind, Order, Outcome, Result

# The action whose result is the store's answer.
_ACTIONS = {
    Kind.STAGE: "ovms.edge.release",
    Kind.ACTIVATE: "ovms.edge.release_activate",
    Kind.VERIFY: "ovms.edge.node_verify",
    Kind.BACK: "ovms.edge.release_rollback",
}
_EVENTS = {
    "runner_on_ok": Outcome.OK,
    "runner_on_failed": Outcome.FAILED,
    "runner_on_unreachable": Outcome.UNREACHABLE,
}


class Run:
    """One order on its way. ``started``: in the clock's seconds that ``heard`` is given."""

    def __init__(self, order: Order, started: float) -> None:
        self._order, self._started = order, started
        self._silent = set(order.stores)
        self.began = False  # whether Ansible came as far as a play

    def heard(self, event: dict[str, Any], now: float) -> Result | None:
        """Return the answer of a store if this event is one, each store's first only.

        A task that fails or does not reach the store is an answer whichever it is; only the one of the order
        says that all is well.
        """
        self.began |= event.get("event") == "playbook_on_play_start"
        outcome = _EVENTS.get(event.get("event", ""))
        data = event.get("event_data", {})
        store = data.get("host")
        if outcome is None or store not in self._silent or data.get("ignore_errors"):
            return None
        answer: dict[str, Any] = data.get("res") or {}
        if outcome is Outcome.OK and not self._says_all_is_well(data, answer):
            return None
        self._silent.discard(store)
        return self._result(store, outcome, answer, now - self._started)

    def unheard(self, ended: str) -> list[Result]:
        """Return, at its end, the answers of the stores that gave none: nothing is known of them."""
        left, self._silent = sorted(self._silent), set()
        remedy = "see the logs of the rollout's runs"
        reason = f"{ended} and said nothing of this store"
        return [Result(store, self._order.kind, Outcome.UNREACHABLE, reason, remedy) for store in left]

    def _says_all_is_well(self, data: dict[str, Any], answer: dict[str, Any]) -> bool:
        begun_only = answer.get("detached") is True
        return data.get("task_action") == _ACTIONS[self._order.kind] and not begun_only

    def _result(self, store: str, outcome: Outcome, answer: dict[str, Any], seconds: float) -> Result:
        kind = self._order.kind
        if outcome is Outcome.FAILED and answer.get("busy"):
            outcome = Outcome.BUSY
        said = answer.get("reason") or answer.get("msg")
        before = (answer.get("diff") or {}).get("before") or {}
        bad = outcome is not Outcome.OK
        return Result(
            store,
            kind,
            outcome,
            _short(said) if bad else None,
            answer.get("remedy") if bad else None,
            serving=self._serving(outcome, answer),
            before=before.get("release") if kind is Kind.ACTIVATE else None,
            seconds=round(seconds, 3),
            fetch_bytes=answer.get("fetch_bytes") if kind is Kind.STAGE else None,
        )

    def _serving(self, outcome: Outcome, answer: dict[str, Any]) -> str | None:
        if self._order.kind is Kind.STAGE:
            return None
        if outcome is Outcome.FAILED and self._order.kind is not Kind.VERIFY:
            return answer.get("serving")
        return answer.get("release")


def _short(said: object) -> str:
    """Return the last line of what was said, which in a long text is the cause."""
    lines = str(said or "no reason given").strip().splitlines()
    return lines[-1][:500] if lines else "no reason given"
