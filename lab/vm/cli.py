"""The command line of ``lab/vm/vm``."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from lab.fleet import cli, lab
from lab.fleet.console import Console
from lab.fleet.settings import Settings
from ovms_edge.errors import EdgeError, UsageError

from . import life, machine, place


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="lab/vm/vm",
        description="A store as a whole machine: bare disk, boot loader, real kernel (QEMU).",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    start = command("start", "install what is missing, make the disk, boot, write .lab/vm/inventory")
    start.add_argument("--cpus", type=cli.positive, default=life.CPUS, metavar="N", help="processors")
    command("stop", "switch it off, as by its plug; the disk stays")
    command("remove", "switch it off and remove its disk")
    ssh = command("ssh", "a shell or a command in it, as user ansible")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    command("console", "the end of what its serial console printed")
    return top


def main(project: Path, argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed, 2 wrong call; that of the command for ``ssh``."""
    arguments = parser().parse_args(argv)
    lab.extend_path()
    try:
        return dispatch(Settings.from_environment(project), arguments, Console())
    except UsageError as error:
        return cli.fail(error, 2)
    except EdgeError as error:
        return cli.fail(error, 1)
    except KeyboardInterrupt:
        return cli.fail(EdgeError("interrupted", "run it again: it goes on where it was"), 130)


def dispatch(settings: Settings, arguments: argparse.Namespace, console: Console) -> int:
    match arguments.command:
        case "ssh":
            command = machine.ssh_command(settings, place.get(settings))
            return subprocess.run([*command, *arguments.words], check=False).returncode
        case "console":
            console.plain(machine.console_tail(settings, 60))
        case "start":
            life.start(settings, console, arguments.cpus)
        case "stop":
            console.say("switched off" if life.stop(settings, console) else "it did not run")
        case "remove":
            console.say("removed" if life.remove(settings, console) else "there was none")
    return 0
