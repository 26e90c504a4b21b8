import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.fields import KNOWN_VERSIONS, Field, fields_for

PORTABLE = {
    "models_path",
    "device",
    "cache_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "dynamic_split_fuse",
    "enable_prefix_caching",
    "plugin_config",
    "best_of_limit",
    "max_tokens_limit",
}  # fmt: skip


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_every_version_knows_the_portable_subset(version: str) -> None:
    assert set(fields_for(version)) >= PORTABLE


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("block_size", "2024.4", "2024.5"),
        ("draft_models_path", "2025.0", "2026.3"),
        ("pipeline_type", "2025.1", "2026.3"),
        ("llm_pipeline_config", "2025.1", "2025.1"),
        ("response_parser", "2025.2", "2025.2"),
        ("cache_eviction_config", "2025.2", "2026.3"),
        ("tool_parser", "2025.3", "2026.3"),
        ("sparse_attention_config", "2025.4", "2026.3"),
        ("draft_eagle3_mode", "2026.0", "2026.3"),
        ("chat_template_mode", "2026.3", "2026.3"),
    ],
)
def test_a_field_is_known_from_its_first_to_its_last_version(name: str, first: str, last: str) -> None:
    knowing = [version for version in KNOWN_VERSIONS if name in fields_for(version)]

    assert (knowing[0], knowing[-1]) == (first, last)
    assert knowing == [version for version in KNOWN_VERSIONS if first <= version <= last]


@pytest.mark.parametrize(
    ("name", "version", "default"),
    [
        ("cache_size", "2025.3", 8),
        ("cache_size", "2025.4.1", 0),
        ("max_tokens_limit", "2025.0", 4096),
        ("max_tokens_limit", "2025.1", None),
        ("device", "2026.2", "CPU"),
        ("device", "2026.3", None),
        ("plugin_config", "2025.4.1", ""),
        ("enable_prefix_caching", "2025.4.1", False),
    ],
)
def test_defaults_follow_the_version(name: str, version: str, default: object) -> None:
    assert fields_for(version)[name].default == default


@pytest.mark.parametrize(
    ("version", "required"),
    [("2024.4", True), ("2025.0", True), ("2025.1", False), ("2025.2", True), ("2025.4.1", True)],
)
def test_models_path_was_optional_in_one_version_only(version: str, required: bool) -> None:
    assert fields_for(version)["models_path"].required is required


@pytest.mark.parametrize(
    ("version", "same_as"), [("2025.4.1", "2025.4"), ("2025.2.1", "2025.2"), ("2025.4.7", "2025.4")]
)
def test_a_patch_version_maps_to_its_column(version: str, same_as: str) -> None:
    assert fields_for(version) == fields_for(same_as)


def test_a_patch_version_can_bring_a_field() -> None:
    assert "cache_interval_multiplier" not in fields_for("2026.2")
    assert fields_for("2026.2.1")["cache_interval_multiplier"].type == "uint64"


def test_nested_messages_carry_their_required_fields() -> None:
    eviction = fields_for("2025.4.1")["cache_eviction_config"].message

    assert eviction is not None
    assert {name for name, field in eviction.items() if field.required} == {
        "start_size",
        "recent_size",
        "max_cache_size",
    }


@pytest.mark.parametrize(("version", "default"), [("2025.3", "SUM"), ("2025.4", "NORM_SUM")])
def test_nested_defaults_follow_the_version(version: str, default: str) -> None:
    eviction = fields_for(version)["cache_eviction_config"].message

    assert eviction is not None
    assert eviction["aggregation_mode"] == Field(
        "aggregation_mode", "enum", default=default, choices=("SUM", "NORM_SUM")
    )


def test_enum_values_are_listed_in_order() -> None:
    assert fields_for("2025.4.1")["pipeline_type"].choices == ("LM", "VLM", "LM_CB", "VLM_CB", "AUTO")
    assert fields_for("2026.3")["pipeline_type"].choices == ("LM", "VLM", "LM_CB", "VLM_CB", "OMNI", "AUTO")


@pytest.mark.parametrize("version", ["2023.3", "2024.3", "2025.5", "2027.0", "", "latest", "2025.4.1-gpu"])
def test_an_unknown_version_is_refused_with_those_known(version: str) -> None:
    with pytest.raises(EdgeError, match=r"not in the field matrix") as refused:
        fields_for(version)

    assert "2025.4" in refused.value.remedy
