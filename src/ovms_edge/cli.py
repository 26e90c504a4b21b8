"""The controller's command line. Each group of commands has its own file; this one only wires them."""

from __future__ import annotations

import argparse
import sys

from ovms_edge import __version__, memory_command
from ovms_edge.ask import commands as ask_commands
from ovms_edge.config_file import commands as config_commands
from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.graph import commands as graph_commands
from ovms_edge.release import commands as release_commands
from ovms_edge.rollout import commands as rollout_commands

GROUPS = (
    release_commands,
    graph_commands,
    config_commands,
    ask_commands,
    rollout_commands,
    memory_command,
)
INTERRUPTED = 130  # what shells report for SIGINT

EXAMPLES = """examples:
  ovms-edge release build --model models/vlm --release vlm-int8@1.0.0
  ovms-edge release sign releases/vlm-int8/1.0.0 --key ~/.ssh/release_key
  ovms-edge release publish releases/vlm-int8/1.0.0 --depot https://depot.example:5000
  ovms-edge release inspect vlm-int8@1.0.0 --depot https://depot.example:5000
  ovms-edge config check models/config.json
  ovms-edge rollout plan rollout.yml -i inventory/mine --output plan.json
  ovms-edge rollout start plan.json -i inventory/mine
  ovms-edge ask --store store-001 --image tray.jpg "Which dishes are on the tray?"
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused or failed, 2 usage."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except EdgeError as error:
        sys.stderr.write(f"ovms-edge: {error.reason}\n  remedy: {error.remedy}\n")
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (head, less): nothing is left to say it to
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("ovms-edge: interrupted\n")
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all groups; every command sets ``run``.

    ``run`` takes the parsed options and returns an exit status, or None for 0.
    """
    parser = argparse.ArgumentParser(
        prog="ovms-edge",
        description="Bring a vision-language model onto a fleet of edge hosts.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ovms-edge {__version__}")
    groups = parser.add_subparsers(metavar="GROUP", required=True)
    for group in GROUPS:
        group.add_group(groups)
    return parser


if __name__ == "__main__":
    sys.exit(main())
