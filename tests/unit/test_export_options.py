from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.options import ExportOptions, parse_arguments
from ovms_edge.export.source import SourceModel, find_source
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
    assert parsed.optimum_arguments() == ["--task", "image-text-to-text", "--weight-format", "int8"]
    assert parsed.graph_options() == {
        "device": "GPU",
        "cache_size": 32,
        "max_num_seqs": 1,
        "enable_prefix_caching": True,
    }


def test_cache_size_0_is_written_as_0() -> None:
    assert "cache_size: 0\n" in render_graph(options("--cache_size", "0").graph_options(), "2025.4.1")


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
    assert options(*arguments).graph_options()["enable_prefix_caching"] is expected


def test_every_graph_option_reaches_the_graph() -> None:
    parsed = options(
        *("--target_device", "GPU.1", "--max_num_batched_tokens", "512", "--disable_dynamic_split_fuse"),
        *("--pipeline_type", "VLM_CB", "--kv_cache_precision", "u8", "--ov_cache_dir", "/cache"),
    )
    assert parsed.graph_options() == {
        "device": "GPU.1",
        "cache_size": 4,
        "max_num_batched_tokens": 512,
        "enable_prefix_caching": False,
        "dynamic_split_fuse": False,
        "pipeline_type": "VLM_CB",
        "plugin_config": {"KV_CACHE_PRECISION": "u8", "CACHE_DIR": "/cache"},
    }
    render_graph(parsed.graph_options(), "2025.4.1")


def test_remote_code_is_trusted_only_if_asked() -> None:
    assert "--trust-remote-code" not in options().optimum_arguments()
    assert "--trust-remote-code" in options("--trust_remote_code").optimum_arguments()


def test_extra_parameters_are_words_not_a_shell_line() -> None:
    parsed = options("--extra_quantization_params", "--ratio 0.8 --group-size '64'")
    assert parsed.optimum_arguments()[-4:] == ["--ratio", "0.8", "--group-size", "64"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--cache_size", "-1"],
        ["--cache_size", "4.5"],
        ["--max_num_seqs", "0"],
        ["--enable_prefix_caching", "maybe"],
        ["--pipeline_type", "LM"],
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
    assert source.argument == "Qwen/Qwen2.5-VL-7B-Instruct"


def test_local_source_is_named_after_its_directory_and_not_its_path(tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    source = find_source(str(directory))
    assert (source.name, source.default_model_name("int4")) == ("tiny", "tiny-ov-int4")
    assert source.argument == str(directory)
    assert source.size_bytes() == 2


@pytest.mark.parametrize("wrong", ["/no/such/directory", "Qwen", "a/b/c", "https://host/a"])
def test_source_that_is_neither_is_refused(wrong: str) -> None:
    with pytest.raises(EdgeError, match="no directory and no Hugging Face id"):
        find_source(wrong)


def test_revision_of_a_local_source_follows_its_content(tmp_path: Path) -> None:
    def revision(content: str) -> str | None:
        (tmp_path / "model.safetensors").write_text(content)
        return SourceModel("m", tmp_path).revision()

    first = revision("one")
    assert first is not None
    assert first.startswith("sha256:")
    assert revision("two") != first
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "download.lock").write_text("notes of a download tool")
    assert revision("one") == first


def test_revision_of_a_hub_id_is_the_downloaded_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    source = SourceModel("Qwen/Qwen2.5-VL-7B-Instruct")
    assert source.revision() is None
    reference = tmp_path / "models--Qwen--Qwen2.5-VL-7B-Instruct" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("cc594898137f460bfe9f0759e9844b3ce807cfb5\n")
    assert source.revision() == "cc594898137f460bfe9f0759e9844b3ce807cfb5"
