from __future__ import annotations

import json

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.config import render_config, with_servable


def test_config_holds_what_the_schema_of_ovms_takes_and_nothing_else() -> None:
    entry = {"config": {"name": "Qwen/tiny", "base_path": "/models/Qwen/tiny"}}
    assert json.loads(render_config("Qwen/tiny", "/models/Qwen/tiny")) == {"model_config_list": [entry]}


@pytest.mark.parametrize("name", ["", 'a"b', "a\\b", "a\nb"])
def test_names_that_break_the_status_document_of_ovms_are_refused(name: str) -> None:
    with pytest.raises(EdgeError, match="servable name"):
        render_config(name, "/models")


@pytest.mark.parametrize("older", ["mediapipe_config_list", "pipeline_config_list"])
def test_a_name_that_another_list_serves_is_not_entered_again(older: str) -> None:
    with pytest.raises(EdgeError, match=f"already served from {older}"):
        with_servable({"model_config_list": [], older: [{"name": "vlm"}]}, "vlm", "vlm")


def test_a_servable_is_entered_into_a_copy() -> None:
    config = {"monitoring": {"metrics": {"enable": True}}, "model_config_list": []}
    entered = with_servable(config, "vlm", "/models/vlm")
    assert config["model_config_list"] == []
    assert list(entered) == ["monitoring", "model_config_list"]
    assert entered["model_config_list"] == [{"config": {"name": "vlm", "base_path": "/models/vlm"}}]
