"""``ovms-edge rollout plan``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.errors import EdgeError

if TYPE_CHECKING:
    from ovms_edge.release.options import Subparsers

# The command imports its work when it runs: Ansible's inventory is slow to import.


def add(commands: Subparsers) -> None:
    """Add ``plan``."""
    parser = commands.add_parser(
        "plan",
        help="say what a rollout would do, wave by wave, and write that down",
        description="Say what a rollout would do, wave by wave; with --output, write it down. Moves nothing.",
        epilog="example:\n  ovms-edge rollout plan rollout.yml -i inventory/mine --survey survey.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the rollout, in YAML (docs/rollouts.md)")
    parser.add_argument(
        "-i", "--inventory", type=Path, metavar="INVENTORY", help="default: that of ansible.cfg"
    )
    parser.add_argument(
        "--survey", type=Path, metavar="SURVEY.json", help="what playbooks/survey_stores.yml found"
    )
    parser.add_argument("--output", type=Path, metavar="PLAN.json", help="write the plan here")
    parser.add_argument("--json", action="store_true", help="one JSON document, with every store")
    parser.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    import gc
    from datetime import UTC, datetime

    from ovms_edge.rollout.inventory import Inventory
    from ovms_edge.rollout.planning import make_plan
    from ovms_edge.rollout.preview import preview_document, preview_text
    from ovms_edge.rollout.spec_file import read_spec
    from ovms_edge.rollout.survey import read_survey

    spec = read_spec(options.file)
    survey = read_survey(options.survey, spec.release) if options.survey else None
    inventory = Inventory.load(options.inventory)
    stores = inventory.stores(spec.stores)
    patterns = {wave.stores for wave in spec.waves if wave.stores is not None}
    matching = {pattern: {store.name for store in inventory.stores(pattern)} for pattern in sorted(patterns)}
    gc.freeze()  # what Ansible made of the inventory stays: to look through it again would cost seconds
    plan = make_plan(spec, stores, matching, survey)
    document = preview_document(plan, spec, survey, datetime.now(UTC))
    if options.output:
        _write(options.output, plan.to_bytes())
    if options.json:
        print(json.dumps({**document, "plan": str(options.output) if options.output else None}))
        return
    print(preview_text(document))
    if options.output:
        print(f"\n{options.output}: written; ovms-edge rollout start {options.output}")


def _write(path: Path, data: bytes) -> None:
    from ovms_edge.release.durable import write_atomically

    try:
        write_atomically(path, data)
    except OSError as error:
        raise EdgeError(
            f"{path} cannot be written: {error.strerror}", "give --output a path in a directory that is there"
        ) from error
