"""The part of JSON Schema that expectations are written in."""

from __future__ import annotations

from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.json_schema import check_schema, violation

ORDER = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[a-z]+$"}},
        "total": {"type": "integer", "minimum": 0, "maximum": 9},
        "size": {"enum": ["small", "large"]},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"items": ["cola"]}, None),
        ({"items": ["cola"], "total": 9.0, "size": "large"}, None),
        ([], "$ is [], not object"),
        ({}, "$ lacks items"),
        ({"items": []}, "$.items has fewer entries than 1: []"),
        ({"items": ["cola", "Fries"]}, "$.items[1] does not match '^[a-z]+$': 'Fries'"),
        ({"items": ["cola"], "total": True}, "$.total is True, not integer"),
        ({"items": ["cola"], "total": 1.5}, "$.total is 1.5, not integer"),
        ({"items": ["cola"], "total": 10}, "$.total is above 9: 10"),
        ({"items": ["cola"], "total": -1}, "$.total is below 0: -1"),
        ({"items": ["cola"], "size": "tiny"}, "$.size is 'tiny', none of 'small', 'large'"),
        ({"items": ["cola"], "note": ""}, "$ has 'note', which nobody asked for"),
    ],
)
def test_a_value_is_held_against_its_schema(value: object, what: str | None) -> None:
    check_schema(ORDER)
    assert violation(ORDER, value) == what


@pytest.mark.parametrize(
    ("schema", "value", "good"),
    [
        ({"type": ["string", "null"]}, None, True),
        ({"type": ["string", "null"]}, 0, False),
        ({"const": 1}, True, False),
        ({"enum": [0]}, False, False),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1}, True),
        ({"additionalProperties": {"type": "integer"}}, {"a": "1"}, False),
        ({"minLength": 2}, "a", False),
        ({"maxLength": 2}, "abc", False),
        ({"maxItems": 1}, [1, 2], False),
        ({"minimum": 3}, "text is not measured", True),
        ({}, object, True),
    ],
)
def test_keywords_mean_what_the_standard_says(schema: dict[str, Any], value: object, good: bool) -> None:
    check_schema(schema)
    assert (violation(schema, value) is None) is good


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ([], "json_schema is"),
        ({"anyOf": []}, "keyword 'anyOf'"),
        ({"type": "text"}, "json_schema.type is 'text'"),
        ({"type": []}, "json_schema.type"),
        ({"required": "items"}, "json_schema.required"),
        ({"required": [1]}, "json_schema.required"),
        ({"enum": 1}, "json_schema.enum"),
        ({"pattern": "["}, "json_schema.pattern"),
        ({"pattern": 1}, "json_schema.pattern"),
        ({"properties": []}, "json_schema.properties"),
        ({"properties": {"a": {"typ": "string"}}}, "json_schema.properties.a has the keyword 'typ'"),
        ({"items": {"format": "date"}}, "json_schema.items has the keyword 'format'"),
        ({"additionalProperties": 1}, "json_schema.additionalProperties"),
        ({"minItems": -1}, "json_schema.minItems"),
        ({"minLength": True}, "json_schema.minLength"),
        ({"minimum": "1"}, "json_schema.minimum"),
    ],
)
def test_a_schema_that_would_not_be_checked_is_refused(schema: object, where: str) -> None:
    with pytest.raises(EdgeError) as caught:
        check_schema(schema)
    assert where in caught.value.reason
    assert caught.value.remedy
