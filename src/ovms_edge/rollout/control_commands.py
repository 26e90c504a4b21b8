"""The commands of ``ovms-edge rollout`` that drive one: start, resume, status, pause, rollback and others."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.rollout.options import add_journal, add_rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from ovms_edge.release.options import Subparsers
    from ovms_edge.rollout.command import Command
    from ovms_edge.rollout.journal import Journal

    Verdict = Callable[[dict[str, Any]], int]

_WATCH_SECONDS = 1.0
# Commands import their work when they run: ansible-runner and SQLite are slow to import.


def add(commands: Subparsers) -> None:
    """Add the commands that drive a rollout."""
    start = _add(commands, "start", "start a rollout and see it to its end", _start, name=False)
    start.add_argument("plan", type=Path, metavar="PLAN.json", help="what `rollout plan --output` wrote")
    start.add_argument("-i", "--inventory", metavar="INVENTORY", help="default: that of ansible.cfg")
    start.add_argument(
        "--supersede", action="store_true", help="end a rollout that is still open, wherever it is"
    )

    resume = _add(
        commands, "resume", "go on: after a pause, an interrupt, or the controller's death", _resume
    )
    resume.add_argument("--forgive", action="store_true", help="the failures so far count no more")

    status = _add(commands, "status", "say what a rollout is", _status)
    status.add_argument("--json", action="store_true", help="one JSON document, with every store")
    status.add_argument("--watch", action="store_true", help="go on saying it until the rollout ends")

    listing = _add(commands, "list", "list the rollouts of the journal", _list, name=False)
    listing.add_argument("--json", action="store_true", help="one JSON document")

    pause = _add(commands, "pause", "begin nothing more; what is under way ends", _pause)
    pause.add_argument("--reason", metavar="TEXT", help="what operators will read")
    abort = _add(commands, "abort", "end a rollout where it is, for good", _abort)
    abort.add_argument("--reason", metavar="TEXT", help="what operators will read")
    approve = _add(commands, "approve", "let a wave begin that waits for approval", _approve)
    approve.add_argument("wave", nargs="+", metavar="WAVE")

    back = _add(commands, "rollback", "bring stores back to what each served before", _rollback)
    back.add_argument(
        "--wave", action="append", default=[], metavar="WAVE", help="only the stores of this one"
    )
    back.add_argument("--stores", metavar="PATTERN", help="only these, an Ansible pattern")
    back.add_argument("--reason", metavar="TEXT", help="what operators will read")
    _add_revocation(back)

    retry = _add(commands, "retry", "let what failed or went back begin anew, and go on", _retry)
    retry.add_argument("--stores", metavar="PATTERN", help="only these, an Ansible pattern")
    _add(commands, "verify", "ask every store that is through with it what it serves now", _verify)


def _add(
    commands: Subparsers, verb: str, summary: str, run: Any, name: bool = True
) -> argparse.ArgumentParser:
    parser = commands.add_parser(verb, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    add_journal(parser)
    if name and verb == "approve":
        parser.add_argument("rollout", metavar="ID")
    elif name:
        add_rollout(parser)
    parser.set_defaults(run=run)
    return parser


def _add_revocation(parser: argparse.ArgumentParser) -> None:
    """Add what it takes to withdraw the release with it, for stores that come back later."""
    from ovms_edge.release.options import add_depot

    group = parser.add_argument_group(
        "revocation", "withdraw the release, too: no store stages or activates it"
    )
    group.add_argument("--revoke", action="store_true", help="needs --key, --depot and --reason")
    group.add_argument("--key", type=Path, metavar="FILE", help="the key that signs releases")
    add_depot(parser, required=False)


def _start(options: argparse.Namespace) -> int:
    from ovms_edge.rollout.board import fresh_stores
    from ovms_edge.rollout.control import opened
    from ovms_edge.rollout.controller import only_controller
    from ovms_edge.rollout.plan import read_plan
    from ovms_edge.rollout.real_clock import RealClock

    plan = read_plan(options.plan)
    inventory = str(Path(options.inventory).resolve()) if options.inventory else ""
    with opened(options.journal) as journal:
        with only_controller(Path(journal.path), plan.id):
            pass  # nothing is entered while another engine is at work
        _end_others(journal, options.supersede)
        journal.create(plan, inventory, fresh_stores(plan), RealClock().utc())
        return _go_on(journal, plan.id)


def _end_others(journal: Journal, supersede: bool) -> None:
    """Abort what is still open; raises EdgeError if that was not asked for."""
    from ovms_edge.rollout.control import tell

    for other in journal.listed():
        if not other.open:
            continue
        if not supersede:
            raise EdgeError(
                f"rollout {other.id} is {other.state.value} since {other.updated}",
                f"resume or abort it, or start with --supersede, which aborts {other.id}",
            )
        tell(journal, other.id, _command("abort", reason="superseded"))


def _resume(options: argparse.Namespace) -> int:
    return _tell_and_go_on(options, _command("resume", forgive=options.forgive))


def _retry(options: argparse.Namespace) -> int:
    from ovms_edge.rollout.control import opened

    with opened(options.journal) as journal:
        rollout = journal.find(options.rollout).id
        stores = _chosen(journal, rollout, options.stores, [])
    return _tell_and_go_on(options, _command("retry", stores=stores), _command("resume"))


def _rollback(options: argparse.Namespace) -> int:
    from ovms_edge.rollout.control import opened, verdict_on_rollback

    with opened(options.journal) as journal:
        rollout = journal.find(options.rollout).id
        if options.revoke:
            print(_revoked(journal, rollout, options))
        stores = _chosen(journal, rollout, options.stores, options.wave)
    command = _command("rollback", stores=stores, reason=options.reason)
    return _tell_and_go_on(options, command, verdict=verdict_on_rollback)


def _revoked(journal: Journal, rollout: str, options: argparse.Namespace) -> str:
    from ovms_edge.manifest import ReleaseRef
    from ovms_edge.release.options import open_depot_of
    from ovms_edge.release.status import revoke_release

    lacking = [name for name in ("key", "depot", "reason") if getattr(options, name) is None]
    if lacking:
        raise UsageError(f"--revoke without --{lacking[0]}", "give --key, --depot and --reason with it")
    ref = ReleaseRef.parse(journal.plan(rollout)[0].release)
    return revoke_release(open_depot_of(options), ref, options.reason, options.key)


def _verify(options: argparse.Namespace) -> int:
    return _tell_and_go_on(options, _command("verify"))


def _pause(options: argparse.Namespace) -> int:
    return _only_tell(options, _command("pause", reason=options.reason))


def _abort(options: argparse.Namespace) -> int:
    return _only_tell(options, _command("abort", reason=options.reason))


def _approve(options: argparse.Namespace) -> int:
    from ovms_edge.rollout.control import opened

    with opened(options.journal) as journal:
        plan, _ = journal.plan(journal.find(options.rollout).id)
        _known_waves(plan.id, {wave.name for wave in plan.waves}, options.wave)
    return _only_tell(options, _command("approve", waves=tuple(options.wave)))


def _status(options: argparse.Namespace) -> None:
    import time

    from ovms_edge.rollout.control import document_of, opened
    from ovms_edge.rollout.view import live_view, summary

    with opened(options.journal) as journal:
        document = document_of(journal, options.rollout)
        if options.json:
            print(json.dumps(document))
            return
        if not options.watch:
            print(summary(document))
            return
        with live_view() as view:
            view(document)
            while document["ended"] is None:
                time.sleep(_WATCH_SECONDS)
                document = document_of(journal, document["id"])
                view(document)


def _list(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from ovms_edge.rollout.control import opened

    with opened(options.journal) as journal:
        rollouts = journal.listed()
    if options.json:
        print(json.dumps([asdict(one) for one in rollouts]))
        return
    for one in rollouts:
        ended = one.ended or "open"
        print(f"{one.id}  {one.state.value:<12}  {one.started}  {ended:<20}  {one.reason or ''}".rstrip())
    if not rollouts:
        print("no rollouts yet: ovms-edge rollout plan FILE --output PLAN.json, then rollout start PLAN.json")


def _command(verb: str, **options: Any) -> Command:
    from ovms_edge.rollout.command import Command
    from ovms_edge.rollout.control import user

    return Command(verb, user(), **options)


def _chosen(journal: Journal, rollout: str, pattern: str | None, waves: list[str]) -> tuple[str, ...] | None:
    """Return the stores that are in the waves and match the pattern; None if neither is given."""
    if pattern is None and not waves:
        return None
    plan, inventory = journal.plan(rollout)
    _known_waves(rollout, {wave.name for wave in plan.waves}, waves)
    chosen = {name for wave in plan.waves if not waves or wave.name in waves for name in wave.stores}
    if pattern is not None:
        from ovms_edge.rollout.inventory import Inventory

        found = Inventory.load(Path(inventory) if inventory else None).stores(pattern)
        chosen &= {store.name for store in found}
    if not chosen:
        raise EdgeError(
            f"no store of {rollout} matches {pattern or waves}", "see ovms-edge rollout status --json"
        )
    return tuple(sorted(chosen))


def _known_waves(rollout: str, known: set[str], asked: list[str]) -> None:
    for name in asked:
        if name not in known:
            raise UsageError(f"{rollout} has no wave {name}", f"name one of: {', '.join(sorted(known))}")


def _only_tell(options: argparse.Namespace, command: Command) -> int:
    from ovms_edge.rollout.control import opened, tell

    with opened(options.journal) as journal:
        rollout = journal.find(options.rollout).id
        outcome = tell(journal, rollout, command)
    print(f"{rollout}: {outcome}")
    return 1 if outcome.startswith("nothing done") else 0


def _tell_and_go_on(options: argparse.Namespace, *commands: Command, verdict: Verdict | None = None) -> int:
    """Tell the engine that runs; where none runs, be the engine."""
    from ovms_edge.rollout.control import opened, tell
    from ovms_edge.rollout.controller import controller_of

    with opened(options.journal) as journal:
        rollout = journal.find(options.rollout).id
        for command in commands:
            print(f"{rollout}: {tell(journal, rollout, command)}")
        if controller_of(Path(journal.path)) is not None:
            return 0
        return _go_on(journal, rollout, verdict)


def _go_on(journal: Journal, rollout: str, verdict: Verdict | None = None) -> int:
    from ovms_edge.rollout import control
    from ovms_edge.rollout.view import live_view

    with live_view() as view:
        document = control.run_engine(journal, rollout, view)
    return (verdict or control.verdict)(document)
