"""The command line of ``lab/lab``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError

from . import containers, depot, files, lab, standin, status, store, teardown
from .console import Console
from .settings import Settings


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="lab/lab",
        description="A fleet of store hosts, a depot and an OVMS stand-in on this machine.",
        epilog="Environment: OVMS_LAB_BASE=mmdebstrap|pull (where Debian comes from),"
        " OVMS_LAB_SUBNET=10.213.77.0/24, OVMS_LAB_NAME=ovms-lab.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    command("prepare", "install what is missing, build the images, start the depot with the OVMS stand-in")
    up = command("up", "prepare, then stores, then inventory/lab")
    up.add_argument(
        "--stores", type=positive, default=3, metavar="N", help="store-001 to N (default 3); others stay"
    )
    add = command("add", "one store more")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--debian", choices=("12", "13"))
    add.add_argument(
        "--identity",
        choices=store.IDENTITIES,
        default="",
        help="what it says it is (default the Debian that it is)",
    )
    add.add_argument("--memory-gib", type=positive, metavar="N")
    add.add_argument("--render-gid", type=positive, metavar="N")
    add.add_argument(
        "--inventory", type=Path, metavar="DIR", help="an inventory of its own (default inventory/lab)"
    )
    remove = command("remove", "remove one store")
    remove.add_argument("name", metavar="NAME")
    command("status", "depot and stores as a table")
    ssh = command("ssh", "a shell or a command in a store, as user ansible")
    ssh.add_argument("name", metavar="STORE")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    execute = command("exec", "a command in a store, as root, past SSH")
    execute.add_argument("name", metavar="STORE")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    restart = command("restart", "restart a store (as a reboot) or the depot")
    restart.add_argument("name", metavar="STORE|depot")
    fault = command("fault", "change a running store for the worse")
    fault.add_argument("name", metavar="STORE")
    fault.add_argument("kind", choices=("memory",))
    fault.add_argument("value", type=positive, metavar="GIB")
    down = command("down", "remove stores and depot")
    down.add_argument(
        "--all", action="store_true", help="also images, keys, model, engine, packages: all there is"
    )
    return top


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(project: Path, argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed, 2 wrong call; that of the command for ``ssh`` and ``exec``."""
    arguments = parser().parse_args(argv)
    console = Console()
    lab.extend_path()
    try:
        return dispatch(Settings.from_environment(project), arguments, console)
    except UsageError as error:
        return fail(error, 2)
    except EdgeError as error:
        return fail(error, 1)
    except KeyboardInterrupt:
        return fail(EdgeError("interrupted", "run it again: it goes on where it was"), 130)


def fail(error: EdgeError, code: int) -> int:
    errors = Console(sys.stderr)
    errors.plain(f"{errors.paint('error', 'red')}: {error.reason}")
    errors.plain(f"{errors.paint('remedy', 'yellow')}: {error.remedy}")
    return code


def dispatch(settings: Settings, arguments: argparse.Namespace, console: Console) -> int:
    match arguments.command:
        case "status":
            status.show(settings, console)
        case "ssh":
            command = store.ssh_command(settings, store.get(settings, arguments.name))
            return subprocess.run([*command, *arguments.words], check=False).returncode
        case "exec":
            return execute(settings, arguments)
        case "fault":
            store.set_memory(settings, store.get(settings, arguments.name), arguments.value)
        case _:
            with files.locked(settings.home, console):
                change(settings, arguments, console)
    return 0


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    if not arguments.words:
        raise UsageError("no command given", f"write lab/lab exec {arguments.name} COMMAND")
    one = store.get(settings, arguments.name)
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    words = [
        "docker",
        "exec",
        "--interactive",
        *terminal,
        store.container(settings, one.name),
        *arguments.words,
    ]
    return subprocess.run(words, check=False).returncode


def change(settings: Settings, arguments: argparse.Namespace, console: Console) -> None:
    """The commands that change the lab; the caller holds its lock."""
    match arguments.command:
        case "prepare":
            lab.prepare(settings, console)
        case "up":
            stores = lab.up(settings, arguments.stores, console)
            console.say(f"{len(stores)} stores are up; {os.path.relpath(settings.inventory)} is written")
        case "add":
            directory = (arguments.inventory or settings.inventory).absolute()
            one = store.define(
                settings,
                arguments.name,
                directory,
                arguments.debian,
                arguments.render_gid,
                arguments.memory_gib,
                arguments.identity,
            )
            lab.prepare_stage(settings, console)
            lab.start_stores(settings, [one], console)
            standin.ensure(settings, console)
        case "remove":
            lab.remove(settings, arguments.name)
            console.say(f"{arguments.name} removed")
        case "restart" if arguments.name == "depot":
            containers.docker("restart", depot.container(settings))
            depot.ensure(settings, console)
        case "restart":
            store.restart(settings, store.get(settings, arguments.name))
            console.say(f"{arguments.name} restarted")
        case "down" if arguments.all:
            teardown.down_all(settings, console)
        case "down":
            teardown.down(settings, console)
