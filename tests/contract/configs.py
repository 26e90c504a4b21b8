"""config.json, and what becomes of it: the server's tests and the checker's are held to this one table."""

from __future__ import annotations

from dataclasses import dataclass

JSON_INVALID = "JSON_INVALID"
METRICS_NAME = "INVALID_METRICS_FAMILY_NAME"


@dataclass(frozen=True)
class Wrong:
    """A configuration that ends the process with ``code``; text is written as it stands."""

    config: object
    code: str


def monitoring(**metrics: object) -> dict[str, object]:
    return {"model_config_list": [], "monitoring": {"metrics": metrics}}


def model(**settings: object) -> dict[str, object]:
    return {"model_config_list": [{"config": settings}]}


# the sample of this project's seed
SEED = {
    **model(name="Qwen/Qwen2.5-VL-7B-Instruct-ov-int8", base_path="Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"),
    "monitoring": {"metrics": {"enable": True, "metrics_list": ["ovms_streams"]}},
}

_NOT_VALID: dict[str, object] = {
    "half-an-object": "{",
    "empty": "",
    "comment": '{"model_config_list": [] // nothing\n}',
    "trailing-comma": '{"model_config_list": [],}',
    "single-quotes": "{'model_config_list': []}",
    "byte-order-mark": '\ufeff{"model_config_list": []}',
    "not-a-number": '{"model_config_list": [], "monitoring": NaN}',
    "no-list": {},
    "older-list-only": {"mediapipe_config_list": []},
    "key-too-many": {"model_config_list": [], "_comment": "text"},
    "list-is-an-object": {"model_config_list": {}},
    "entry-without-config": {"model_config_list": [{"name": "a"}]},
    "no-name": model(),
    "only-a-path": model(base_path="/models/a"),
    "name-is-a-number": model(name=1),
    "option-of-the-graph": model(name="a", models_path="./"),
    "beside-config": {"model_config_list": [{"config": {"name": "a"}, "more": 1}]},
    "plugin-config-as-text": model(name="a", plugin_config="{}"),
    "device-of-a-graph": {"model_config_list": [], "mediapipe_config_list": [{"name": "a", "device": "GPU"}]},
    "metrics-of-nothing": monitoring(),
    "metrics-enabled-by-text": monitoring(enable="yes"),
    "metrics-endpoint": monitoring(enable=True, endpoint_path="/metrics"),
    "metrics-list-as-text": monitoring(enable=True, metrics_list="ovms_responses"),
}

WRONG = {
    **{name: Wrong(config, JSON_INVALID) for name, config in _NOT_VALID.items()},
    "metrics-name-that-is-none": Wrong(
        monitoring(enable=True, metrics_list=["ovms_graph_request_latency_us"]), METRICS_NAME
    ),
    "metrics-name-twice": Wrong(
        monitoring(enable=True, metrics_list=["ovms_current_graphs", "ovms_current_graphs"]), METRICS_NAME
    ),
}

# the process stays up, whatever becomes of what they name
STARTS: dict[str, object] = {
    "seed": SEED,
    "nothing": {"model_config_list": []},
    "all-lists": {
        "model_config_list": [],
        "mediapipe_config_list": [{"name": "a", "base_path": "a", "graph_path": "graph.pbtxt"}],
        "monitoring": {"metrics": {"enable": False}},
    },
    "graph-twice": {"model_config_list": [], "mediapipe_config_list": [{"name": "a"}, {"name": "a"}]},
    "metrics-without-list": monitoring(enable=True),
    "metrics-empty-list": monitoring(enable=True, metrics_list=[]),
    "graph-settings": model(name="a", base_path="a", graph_path="b.pbtxt", subconfig="c.json"),
}
