"""What runs on a node needs nothing but Python 3.10: no package, no newer syntax."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
NODE_MODULES = sorted(
    path
    for pattern in (
        "__init__.py",
        "chunks.py",
        "delta.py",
        "edits.py",
        "errors.py",
        "image_layout.py",
        "manifest.py",
        "oci.py",
        "golden.py",
        "json_schema.py",
        "residual.py",
        "status_list.py",
        "graph/__init__.py",
        "graph/text/__init__.py",
        "graph/text/syntax.py",
        "graph/text/tokens.py",
        "node/**/*.py",
        "ovms/*.py",
    )
    for path in (SOURCE / "ovms_edge").glob(pattern)
)
OWN = (
    "ovms_edge.graph.text.syntax",
    "ovms_edge.graph.text.tokens",
    "ovms_edge.node",
    "ovms_edge.ovms",
    "ovms_edge.image_layout",
    "ovms_edge.manifest",
    "ovms_edge.oci",
    "ovms_edge.errors",
    "ovms_edge.chunks",
    "ovms_edge.delta",
    "ovms_edge.edits",
    "ovms_edge.golden",
    "ovms_edge.json_schema",
    "ovms_edge.residual",
    "ovms_edge.status_list",
)


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module comes from"
            names.add(node.module or "")
    return names


def allowed(name: str) -> bool:
    own = name == "ovms_edge" or name.startswith(OWN)
    return own or name.partition(".")[0] in sys.stdlib_module_names


def test_node_modules_are_found() -> None:
    assert {"cli.py", "fields.py", "errors.py"} <= {path.name for path in NODE_MODULES}


@pytest.mark.parametrize("path", NODE_MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_node_module_needs_python_3_10_and_its_library_only(path: Path) -> None:
    tree = ast.parse(path.read_text(), path.name, feature_version=(3, 10))
    assert [name for name in imported(tree) if not allowed(name)] == []


def test_a_package_would_be_noticed() -> None:
    assert not allowed("requests")
    assert not allowed("ovms_edge.release")
    with pytest.raises(SyntaxError):
        ast.parse("try:\n  pass\nexcept* OSError:\n  pass\n", feature_version=(3, 10))
