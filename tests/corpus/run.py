"""Run the checker on every LLM and VLM graph of OVMS: ``python -m tests.corpus.run --source CLONE``.

CLONE is a git clone of openvinotoolkit/model_server with its tags; a bare one will do. Exits with 1 if the
checker and OVMS disagree about a graph.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ovms_edge.graph.check import check_graph, first_error
from ovms_edge.graph.model import read_model_facts
from tests.corpus.case import LOADS, PARSES, Case, ModelKind
from tests.corpus.clone import Tree, trees
from tests.corpus.expectations import fact_of
from tests.corpus.extract import cases
from tests.corpus.models import write_models

Outcome = Literal["accepted", "rejected", "parsed", "undecided", "disagreements"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# what a graph that OVMS only parses and keeps may still fail with
_AFTER_INITIALIZATION = "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"


@dataclass(frozen=True)
class Judged:
    """A case with what OVMS and the checker say of it; ``said`` is LOADS or a StatusCode."""

    case: Case
    expected: str | None
    why: str
    said: str

    @property
    def outcome(self) -> Outcome:
        if self.expected is None:
            return "undecided" if self.why else "disagreements"
        if self.expected == PARSES and self.said in (LOADS, _AFTER_INITIALIZATION):
            return "parsed"
        if self.said != self.expected:
            return "disagreements"
        return "accepted" if self.expected == LOADS else "rejected"


def judge(case: Case, version: str, models: Mapping[ModelKind, Path]) -> Judged:
    """Run the checker on a case."""
    fact = fact_of(case)
    facts = None
    if case.model is not None:
        (models[case.model] / case.draft).mkdir(exist_ok=True)
        facts = read_model_facts(models[case.model], case.mounted_at or None)
    error = first_error(check_graph(case.text, version, facts))
    return Judged(
        case,
        expected=fact.expected if fact else case.expected,
        why=fact.why if fact else "",
        said=LOADS if error is None else error.code,
    )


def report(tree: Tree, judged: Iterable[Judged], *, verbose: bool) -> Counter[Outcome]:
    """Print one release's counts and disagreements; return the counts."""
    results = list(judged)
    counts = Counter(result.outcome for result in results)
    print(
        f"{tree.version:9} {len(results):3} graphs: {counts['accepted']:3} accepted, "
        f"{counts['rejected']:2} rejected as expected, {counts['parsed']} parsed, "
        f"{counts['undecided']} undecidable, "
        f"{counts['disagreements']} disagreements"
    )
    for result in results:
        if result.outcome == "disagreements":
            expected = result.expected or "something that nobody has entered in expectations.py"
            print(f"  {result.case.place}\n    OVMS: {expected}; the checker: {result.said}")
        elif verbose and result.outcome == "undecided":
            print(f"  undecidable: {result.case.place}\n    {result.why}")
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.run", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="git clone of model_server, with tags")
    parser.add_argument("--verbose", action="store_true", help="name what cannot be decided, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models = write_models(Path(scratch))
        total: Counter[Outcome] = Counter()
        releases = trees(arguments.source)
        for tree in releases:
            judged = [judge(case, tree.version, models) for case in cases(tree)]
            if not judged:
                raise SystemExit(f"no graph found in {tree.tag}: extract.py no longer fits the sources")
            total += report(tree, judged, verbose=arguments.verbose)
    if not releases:
        raise SystemExit(f"{arguments.source} has no tag of a release: fetch the tags v2024.4 to v2026.3")
    print(
        f"in all {sum(total.values())}: " + ", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES)
    )
    return 1 if total["disagreements"] else 0


if __name__ == "__main__":
    sys.exit(main())
