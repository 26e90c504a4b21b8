from __future__ import annotations

import json

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.config import render_config


def test_config_holds_what_the_schema_of_ovms_takes_and_nothing_else() -> None:
    entry = {"config": {"name": "Qwen/tiny", "base_path": "/models/Qwen/tiny"}}
    assert json.loads(render_config("Qwen/tiny", "/models/Qwen/tiny")) == {"model_config_list": [entry]}


@pytest.mark.parametrize("name", ["", 'a"b', "a\\b", "a\nb"])
def test_names_that_break_the_status_document_of_ovms_are_refused(name: str) -> None:
    with pytest.raises(EdgeError, match="servable name"):
        render_config(name, "/models")
