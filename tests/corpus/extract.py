"""Every LLM and VLM graph in the sources of one OVMS release."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.corpus import cpp, export_script
from tests.corpus.case import LOADS, Case, ModelKind
from tests.corpus.clone import Tree
from tests.corpus.placeholders import MODELS_PATTERN, TEXT_MODEL, hole_values

_LLM = r"LLMCalculatorOptions|HttpLLMCalculator"
# a shell's echo '...' >> FILE around the graph is no part of it
_ECHO = re.compile(r"echo '\n(?P<text>.*)^'[^'\n]*$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^```\w*\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_MODELS_PATH = re.compile(r'\bmodels_path:\s*"(?P<path>[^"]*)"')
_TEST_ROOT = "/ovms/src/test/llm_testing"
# What the tests' model directories hold (their names: prepare_llm_models.sh of each release).
_TEST_MODELS: dict[str, ModelKind] = {
    "/facebook/opt-125m": "LM",
    "/HuggingFaceTB/SmolLM2-360M-Instruct": "LM",
    "/OpenGVLab/InternVL2-1B": "VLM",
    "/OpenVINO/InternVL2-1B-int4-ov": "VLM",
}


def cases(tree: Tree) -> Iterator[Case]:
    """Yield the graphs of files, documentation, tests, and of the export script's template."""
    for path in tree.files(_LLM, "*.pbtxt"):
        yield _placed(path, tree.read(path), LOADS)
    for path in tree.files(_LLM, "*.md"):
        yield from _fenced(path, tree.read(path))
    for path in tree.files(_LLM, "src/test/*.cpp"):
        yield from _tests(path, tree.read(path))
    yield from export_script.cases(tree)


def _is_graph(text: str) -> bool:
    return re.search(_LLM, text) is not None and "node" in text and "calculator:" in text


def _fenced(path: str, document: str) -> Iterator[Case]:
    for match in _FENCED.finditer(document):
        if _is_graph(match["text"]):
            echo = _ECHO.search(match["text"])
            text = (echo or match)["text"]
            yield _placed(f"{path}:{_line(document, match.start())}", text, LOADS)


def _tests(path: str, source: str) -> Iterator[Case]:
    functions = cpp.functions(source)
    graphs = [text for text in cpp.texts(source) if _is_graph(text.literal)]
    for text in graphs:
        place = f"{path}:{_line(source, text.start)}"
        function = next((f for f in functions if f.start <= text.start < f.end), None)
        if function is None:  # a constant: what becomes of it is a fact of its own
            yield _placed(place, text.filled({}), None)
            continue
        until = min([function.end, *(other.start for other in graphs if other.start > text.start)])
        expected = cpp.asserted(source, text.end, until)
        pairs: list[tuple[str, str | None]] = [("", expected)]
        if expected is not None and expected.startswith("expected"):
            pairs = [*cpp.parameters(source, function.end)]
        tests = [function] if function.suite else cpp.callers(source, function, functions)
        for test in tests:
            for parameter, code in pairs:
                values = hole_values(test.suite, parameter)
                name = f"{place} {test.suite}.{test.name}" + (f" {parameter}" if parameter else "")
                yield _placed(name, text.filled(values), code)


def _placed(place: str, text: str, expected: str | None) -> Case:
    """Put the test model that the graph names where the graph expects it."""
    text = text.replace(MODELS_PATTERN, TEXT_MODEL)
    match = _MODELS_PATH.search(text)
    path = match["path"] if match else ""
    if path == "/":
        return Case(place, text, expected, "none", "/")
    for directory, kind in _TEST_MODELS.items():
        if path.startswith(_TEST_ROOT + directory):
            return Case(place, text, expected, kind, _TEST_ROOT + directory)
    if path.startswith("/"):  # some place of the server's where the tests have nothing
        return Case(place, text, expected, "LM", TEXT_MODEL)
    return Case(place, text, expected)


def _line(source: str, offset: int) -> int:
    return source.count("\n", 0, offset) + 1
