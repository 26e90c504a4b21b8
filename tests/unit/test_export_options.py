from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.architecture import Kind, model_kind
from ovms_edge.export.arguments import parse_arguments
from ovms_edge.export.job import servable_name
from ovms_edge.export.options import ExportOptions, check_for_kind
from ovms_edge.export.source import content_digest, examine, find_source
from ovms_edge.ovms.graph import render_graph


def options(*arguments: str) -> ExportOptions:
    return parse_arguments(["text_generation", "--source_model", "Qwen/Qwen2.5-VL-7B-Instruct", *arguments])


def test_the_command_line_of_the_upstream_readme_is_understood() -> None:
    parsed = options(
        *("--weight-format", "int8", "--target_device", "GPU", "--model_repository_path", "models"),
        *("--cache_size", "32", "--max_num_seqs", "1", "--enable_prefix_caching"),
    )
    assert parsed.model_repository_path == Path("models")
    assert parsed.config_file == Path("models/config.json")
    arguments = parsed.optimum_arguments("VLM", parsed.quantization())
    assert arguments == ["--task", "image-text-to-text", "--weight-format", "int8"]
    assert parsed.cache_size == 32
    assert parsed.graph_options(32) == {
        "device": "GPU",
        "cache_size": 32,
        "max_num_seqs": 1,
        "enable_prefix_caching": True,
    }


def test_cache_size_0_is_written_as_0() -> None:
    parsed = options("--cache_size", "0")
    assert parsed.cache_size == 0
    assert "cache_size: 0\n" in render_graph(parsed.graph_options(0), "2025.4.1")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], False),
        (["--enable_prefix_caching"], True),
        (["--enable_prefix_caching", "true"], True),
        (["--enable_prefix_caching", "True"], True),
        (["--enable_prefix_caching", "false"], False),
    ],
)
def test_prefix_caching_is_a_flag_or_takes_a_value(arguments: list[str], expected: bool) -> None:
    assert options(*arguments).graph_options(4)["enable_prefix_caching"] is expected


def test_every_graph_option_reaches_the_graph() -> None:
    parsed = options(
        *("--target_device", "GPU.1", "--max_num_batched_tokens", "512", "--disable_dynamic_split_fuse"),
        *("--pipeline_type", "LM_CB", "--kv_cache_precision", "u8", "--ov_cache_dir", "/cache"),
        *("--prompt_lookup_decoding", "--max_tokens_limit", "300", "--reasoning_parser", "qwen3"),
        *("--tool_parser", "hermes3", "--enable_tool_guided_generation"),
    )
    expected = {
        "device": "GPU.1",
        "cache_size": 4,
        "max_num_batched_tokens": 512,
        "max_tokens_limit": 300,
        "enable_prefix_caching": False,
        "dynamic_split_fuse": False,
        "pipeline_type": "LM_CB",
        "plugin_config": {"KV_CACHE_PRECISION": "u8", "CACHE_DIR": "/cache", "prompt_lookup": True},
        "reasoning_parser": "qwen3",
        "tool_parser": "hermes3",
        "enable_tool_guided_generation": True,
    }
    assert parsed.graph_options(4) == expected
    assert parsed.graph_options(4, "draft")["draft_models_path"] == "./draft"
    render_graph(parsed.graph_options(4, "draft"), "2025.4.1")


def test_npu_is_given_what_it_needs() -> None:
    parsed = options("--target_device", "NPU", "--max_prompt_len", "2048")
    assert parsed.optimum_arguments("LM", parsed.quantization())[2:] == [
        *("--weight-format", "int4", "--sym", "--ratio", "1.0", "--group-size", "-1")
    ]
    assert parsed.graph_options(4)["plugin_config"] == {"MAX_PROMPT_LEN": 2048}
    assert options("--target_device", "NPU", "--weight-format", "nf4").chosen_weight_format == "nf4"


def test_several_devices_share_the_model_as_a_pipeline() -> None:
    plugin_config = options("--target_device", "HETERO:GPU,CPU").graph_options(4)["plugin_config"]
    assert plugin_config == {"MODEL_DISTRIBUTION_POLICY": "PIPELINE_PARALLEL"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--target_device", "GPU", "--max_prompt_len", "9"], "max_prompt_len is for an NPU"),
        (["--target_device", "NPU", "--weight-format", "int8"], "an NPU takes int4 or nf4"),
        (["--tool_parser", "gptoss"], "gptoss to both or to none"),
        (["--enable_tool_guided_generation"], "needs --tool_parser"),
        (["--prompt_lookup_decoding", "--draft_source_model", "a/b"], "two ways of the same"),
        (["--draft_model_name", "../x"], "not plain"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(wrong: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(*wrong)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            ["--pipeline_type", "LM"],
            "VLM",
            "LM cannot load m: it is a vision-language model; give one of AUTO",
        ),
        (["--pipeline_type", "LM_CB"], "VLM", "LM_CB cannot load"),
        (["--pipeline_type", "VLM_CB"], "LM", "VLM_CB cannot load"),
        (["--prompt_lookup_decoding"], "VLM", "is for language models"),
        (["--draft_source_model", "a/b"], "VLM", "is for language models"),
        (["--pipeline_type", "VLM"], "VLM", None),
        (["--pipeline_type", "LM"], "LM", None),
        (["--pipeline_type", "AUTO"], "LM", None),
    ],
)
def test_pipeline_and_decoding_are_held_against_the_kind_of_model(
    arguments: list[str], kind: Kind, message: str | None
) -> None:
    if message is None:
        check_for_kind(options(*arguments), kind, "m")
    else:
        with pytest.raises(UsageError, match=message):
            check_for_kind(options(*arguments), kind, "m")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"]}, "VLM"),
        (
            {"model_type": "new_vl", "vision_config": {}, "architectures": ["NewForConditionalGeneration"]},
            "VLM",
        ),
        ({"model_type": "phi3_v", "architectures": ["Phi3VForCausalLM"]}, "VLM"),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, "LM"),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "LM"),
    ],
)
def test_config_says_what_kind_of_model_it_is(config: dict[str, object], kind: Kind) -> None:
    assert model_kind(config, "m") == kind


@pytest.mark.parametrize(
    "config",
    [{}, {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, {"architectures": 1}],
)
def test_model_that_generates_no_text_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(EdgeError, match="m is no language model"):
        model_kind(config, "m")


def test_remote_code_is_trusted_only_if_asked() -> None:
    assert "--trust-remote-code" not in options().optimum_arguments("LM", ())
    assert "--trust-remote-code" in options("--trust_remote_code").optimum_arguments("LM", ())


def test_extra_parameters_are_words_not_a_shell_line() -> None:
    parsed = options("--extra_quantization_params", "--ratio 0.8 --group-size '64'")
    assert parsed.optimum_arguments("LM", parsed.quantization())[-4:] == [
        "--ratio",
        "0.8",
        "--group-size",
        "64",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--cache_size", "-1"],
        ["--cache_size", "4.5"],
        ["--max_num_seqs", "0"],
        ["--enable_prefix_caching", "maybe"],
        ["--pipeline_type", "CB"],
        ["--tool_parser", "llama4"],
        ["--kv_cache_precision", "u4"],
        ["--target_memory_gib", "0"],
        ["--weight-format", "int2"],
        ["--extra_quantization_params", "'unclosed"],
    ],
)
def test_values_that_ovms_would_refuse_are_usage_errors(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options(*wrong)
    assert ended.value.code == 2


@pytest.mark.parametrize("name", ["../up", "/absolute", "a//b", "a/", "", 'quo"te', "back\\slash", ".hidden"])
def test_model_name_must_be_plain(name: str) -> None:
    with pytest.raises(UsageError, match="not plain"):
        options("--model_name", name)


def test_hub_id_names_the_servable() -> None:
    source = find_source("Qwen/Qwen2.5-VL-7B-Instruct")
    assert source.default_model_name("int8") == "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
    assert source.directory is None


def test_local_source_is_named_after_its_directory_and_not_its_path(tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    source = find_source(str(directory))
    assert (source.name, source.default_model_name("int4")) == ("tiny", "tiny-ov-int4")
    assert source.directory == directory


@pytest.mark.parametrize("wrong", ["/no/such/directory", "Qwen", "a/b/c", "https://host/a"])
def test_source_that_is_neither_is_refused(wrong: str) -> None:
    with pytest.raises(EdgeError, match="no directory and no Hugging Face id"):
        find_source(wrong)


def test_revision_of_a_local_source_follows_its_content(tmp_path: Path) -> None:
    def revision(content: str) -> str:
        (tmp_path / "vocab.json").write_text(content)
        return content_digest(tmp_path)

    first = revision("one")
    assert first.startswith("sha256:")
    assert revision("two") != first
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "download.lock").write_text("notes of a download tool")
    assert revision("one") == first


def test_revision_is_for_hub_ids(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="--revision v1 was given for the local directory"):
        examine(find_source(str(tmp_path)), "v1")


def test_openvino_models_keep_their_names(tmp_path: Path) -> None:
    assert servable_name(options(), find_source("Qwen/Qwen3-8B")) == "Qwen/Qwen3-8B-ov-int8"
    assert servable_name(options(), find_source("OpenVINO/Qwen3-8B-int4-ov")) == "OpenVINO/Qwen3-8B-int4-ov"
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "openvino_model.xml").write_text("<?xml")
    assert servable_name(options(), find_source(str(tmp_path))) == tmp_path.name


@pytest.mark.parametrize(
    "words",
    ["--weight-format int4", "--task=x", "--ratio 1 --weight int4", "--trust-remote-code", "-m x", "dir"],
)
def test_extra_parameters_cannot_say_what_the_exporter_says(words: str) -> None:
    command = ["text_generation", "--source_model", "a/b", f"--extra_quantization_params={words}"]
    with pytest.raises(UsageError, match="--extra_quantization_params holds"):
        parse_arguments(command)


def test_name_of_a_draft_model_is_plain() -> None:
    with pytest.raises(UsageError, match="'a draft' is not plain; give --draft_model_name"):
        parse_arguments(["text_generation", "--source_model", "a/b", "--draft_model_name", "a draft"])
