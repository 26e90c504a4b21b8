"""Executors of a graph: which MediaPipe makes, and which a node may name.

Source: openvinotoolkit/mediapipe b2dccf07 mediapipe/framework/validated_graph_config.cc
(``ValidateExecutors``), calculator_graph.cc (``InitializeExecutors``), thread_pool_executor.cc.
"""

from __future__ import annotations

from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.report import initialize_refused
from ovms_edge.graph.checks.tree import TreeGraph
from ovms_edge.graph.text.syntax import Entry, Message

_RESERVED = {"default", "gpu"}
_POOL = "ThreadPoolExecutor"
_POOL_OPTIONS = "[mediapipe.ThreadPoolExecutorOptions.ext]"
_CALLING_THREAD = "ApplicationThreadExecutor"  # for the default executor, the one of no name, alone


def check_executors(graph: TreeGraph) -> Iterator[Finding]:
    """Yield what MediaPipe refuses of the graph's executors, and of those that nodes name."""
    declared: set[str] = set()
    for entry in graph.message.named("executor"):
        if not isinstance(entry.value, Message):
            continue
        name = "".join(entry.value.texts("name"))
        if _is_reserved(name):
            yield _reserved(name, entry, "executor")
        elif name in declared:
            of = f'"{name}"' if name else "the default executor"
            text = f"ExecutorConfig for {of} is duplicate."
            yield initialize_refused(text, "keep one of the two", entry, "executor")
        else:
            yield from _type(entry, entry.value, name)
        if not name and any(threads.text != "0" for threads in graph.message.named("num_threads")):
            text = (
                "ExecutorConfig for the default executor and the graph-level num_threads field should not "
                "both be specified."
            )
            yield initialize_refused(text, "remove num_threads of the graph", entry, "executor")
        declared.add(name)
    for node in graph.nodes:
        for entry in node.strings("executor"):
            if _is_reserved(entry.text):
                yield _reserved(entry.text, entry, "node.executor")
            elif entry.text and entry.text not in declared:
                text = f'The executor "{entry.text}" is not declared in an ExecutorConfig.'
                yield initialize_refused(text, "remove it from the node", entry, "node.executor")


def _type(entry: Entry, executor: Message, name: str) -> Iterator[Finding]:
    kind = "".join(executor.texts("type"))
    if kind == _POOL:
        pools = [pool for options in executor.messages("options") for pool in options.messages(_POOL_OPTIONS)]
        if not any(pool.named("num_threads") for pool in pools):
            text = "num_threads is not specified in ThreadPoolExecutorOptions."
            fix = f"add options {{ {_POOL_OPTIONS} {{ num_threads: 4 }} }} to it"
            yield initialize_refused(text, fix, entry, "executor")
    elif not kind and name:
        text = f'ExecutorConfig for "{name}" does not have a "type" field.'
        yield initialize_refused(text, f'add type: "{_POOL}"', entry, "executor")
    elif kind and (name or kind != _CALLING_THREAD):
        text = f'executor type "{kind}" is not registered'
        yield initialize_refused(text, f'write type: "{_POOL}"', entry, "executor")


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.startswith("__")


def _reserved(name: str, entry: Entry, path: str) -> Finding:
    return initialize_refused(f'"{name}" is a reserved executor name.', "give it another name", entry, path)
