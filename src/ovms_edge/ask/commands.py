"""``ovms-edge ask``."""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.errors import EdgeError, UsageError

if TYPE_CHECKING:
    from ovms_edge.ovms.client import OvmsClient

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_URL = "http://localhost:8002"
_MAX_TOKENS = 256
_ANSWER_SECONDS = 360.0  # a 7B model on an integrated GPU takes minutes for a large picture
_REST_SECONDS = 10.0

EXAMPLES = """examples:
  ovms-edge ask "What is 2 + 3?"
  ovms-edge ask --image tray.jpg --url http://10.0.0.11:8002 "Which dishes are on the tray?"
  ovms-edge ask --store store-001 -i inventory/lab --image tray.jpg --json "Is there soup?"
"""


def add_group(groups: Subparsers) -> None:
    """Add ``ask``."""
    parser = groups.add_parser(
        "ask",
        help="ask a server, about images if you like",
        description="Ask one question. The answer streams to standard output, its times to standard error.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", metavar="PROMPT", help="- reads it from standard input")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", default=_URL, help=f"REST address of OVMS (default: {_URL})")
    where.add_argument("--store", metavar="NAME", help="a host of the inventory, through an SSH tunnel")
    parser.add_argument("-i", "--inventory", type=Path, metavar="PATH", help="default: that of ansible.cfg")
    parser.add_argument("--model", default="", metavar="NAME", help="default: the only one that is served")
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="JPEG, PNG or BMP; again for more",
    )
    parser.add_argument("--max-tokens", type=int, default=_MAX_TOKENS, help=f"default: {_MAX_TOKENS}")
    parser.add_argument(
        "--timeout",
        type=float,
        default=_ANSWER_SECONDS,
        metavar="SECONDS",
        help=f"default: {_ANSWER_SECONDS:g}",
    )
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="as OVMS's own --api_key_file")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="CA of an https server, in PEM")
    parser.add_argument("--no-stream", action="store_true", help="ask for the answer in one piece")
    parser.add_argument("--json", action="store_true", help="one JSON document, with the times")
    parser.set_defaults(run=_ask)


def _ask(options: argparse.Namespace) -> None:
    from ovms_edge.ask.question import Question, ask, read_images, read_prompt, summary, to_document

    if options.max_tokens < 1 or options.timeout <= 0:
        raise UsageError("--max-tokens and --timeout have to be positive", "correct them")
    if options.inventory and not options.store:
        raise UsageError("-i names an inventory, and no --store is given", "add --store NAME")
    if options.ca and options.store:
        raise UsageError("--ca is for https, and a store is asked through SSH", "leave out --ca")
    question = Question(
        prompt=read_prompt(options.prompt),
        images=read_images(options.image),
        model=options.model,
        max_tokens=options.max_tokens,
        timeout=options.timeout,
        streamed=not options.no_stream,
    )
    shown_as_it_comes = question.streamed and not options.json
    shown: list[str] = []

    def show(text: str) -> None:
        shown.append(text[-1:])
        _show(text)

    try:
        with _client(options) as client:
            answer = ask(client, question, show if shown_as_it_comes else None)
    except EdgeError:
        if shown and shown[-1] != "\n" and not sys.stdout.closed:
            print(flush=True)  # the error starts on a line of its own
        raise
    if options.json:
        _show(f"{json.dumps(to_document(answer), ensure_ascii=False, indent=2)}\n")
        return
    _show("\n" if shown_as_it_comes else f"{answer.content}\n")
    sys.stderr.write(f"{summary(answer, options.max_tokens)}\n")


def _show(text: str) -> None:
    try:
        sys.stdout.write(_printable(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError):
            sys.stdout.close()  # or Python tries, and fails, once more at its end
        raise EdgeError(f"standard output cannot be written: {error.strerror}", "free space there") from error


def _printable(text: str) -> str:
    """Return ``text`` with control characters escaped: a model's words do not steer a terminal."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


@contextmanager
def _client(options: argparse.Namespace) -> Iterator[OvmsClient]:
    from ovms_edge.ask.question import read_api_key
    from ovms_edge.ask.store import find_store
    from ovms_edge.ask.tunnel import tunnel
    from ovms_edge.ovms.client import OvmsClient, OvmsUnreachableError

    key = read_api_key(options.api_key_file) if options.api_key_file else None
    seconds = min(_REST_SECONDS, options.timeout)
    if not options.store:
        yield OvmsClient(options.url, seconds, ca_file=options.ca, api_key=key)
        return
    store = find_store(options.store, options.inventory)
    with tunnel(store) as url:
        try:
            yield OvmsClient(url, seconds, api_key=key)
        except OvmsUnreachableError as error:
            raise OvmsUnreachableError(
                f"{store.name} is there, and its gateway gave no answer ({error.reason})",
                "ask ovms-node status on it",
            ) from error
