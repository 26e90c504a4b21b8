from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.ir import (
    LANGUAGE_MODELS,
    QWEN2_5_VL_MODELS,
    Constant,
    check_ir,
    check_pair,
    read_constants,
)

# As openvino 2025.4.1 writes it, with a sub-graph (If, Loop) whose constants lie in the same .bin.
XML = """<?xml version="1.0"?>
<net name="Model0" version="11">
	<layers>
		<layer id="0" name="input" type="Parameter" version="opset1">
			<data shape="?" element_type="f32" />
		</layer>
		<layer id="1" name="weight" type="Const" version="opset1">
			<data element_type="u8" shape="4" offset="0" size="4" />
		</layer>
		<layer id="2" name="loop" type="Loop" version="opset5">
			<data offset="900" size="900" />
			<body><layers>
				<layer id="0" name="inner" type="Const" version="opset1">
					<data element_type="f32" shape="25" offset="64" size="100" />
				</layer>
			</layers></body>
		</layer>
		<layer id="3" name="shared" type="Const" version="opset1">
			<data element_type="u8" shape="4" offset="0" size="4" />
		</layer>
	</layers>
	<rt_info><conversion offset="777" size="777" /></rt_info>
</net>
"""
EXPECTED_BIN_BYTES = 164


def write_pair(directory: Path, model: str, *, xml: str = XML, bin_bytes: int = EXPECTED_BIN_BYTES) -> Path:
    xml_path = directory / f"{model}.xml"
    xml_path.write_text(xml)
    xml_path.with_suffix(".bin").write_bytes(bytes(bin_bytes))
    return xml_path


@pytest.fixture
def model_directory(tmp_path: Path) -> Path:
    for model in QWEN2_5_VL_MODELS:
        write_pair(tmp_path, model)
    return tmp_path


def test_whole_model_is_returned_pair_by_pair(model_directory: Path) -> None:
    pairs = check_ir(model_directory)
    assert [pair.xml_path.stem for pair in pairs] == list(QWEN2_5_VL_MODELS)
    assert {pair.bin_bytes for pair in pairs} == {EXPECTED_BIN_BYTES}


def test_constants_are_those_of_the_graph_and_its_sub_graphs(tmp_path: Path) -> None:
    assert read_constants(write_pair(tmp_path, "m")) == [
        Constant("weight", 0, 4),
        Constant("inner", 64, 100),
        Constant("shared", 0, 4),
    ]


@pytest.mark.parametrize("model", QWEN2_5_VL_MODELS)
@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_each_of_the_twelve_files_is_needed(model_directory: Path, model: str, suffix: str) -> None:
    (model_directory / f"{model}{suffix}").unlink()
    with pytest.raises(EdgeError, match=f"{model}{suffix} is missing"):
        check_ir(model_directory)


def test_bin_short_by_one_byte_is_named_with_both_sizes(model_directory: Path) -> None:
    write_pair(model_directory, "openvino_language_model", bin_bytes=EXPECTED_BIN_BYTES - 1)
    with pytest.raises(EdgeError, match=r"openvino_language_model\.bin is truncated: 164 bytes .* 163 found"):
        check_ir(model_directory)


@pytest.mark.parametrize(("extra", "whole"), [(0, True), (64, True), (65, False)])
def test_bin_may_exceed_its_constants_by_padding_only(tmp_path: Path, extra: int, whole: bool) -> None:
    xml_path = write_pair(tmp_path, "m", bin_bytes=EXPECTED_BIN_BYTES + extra)
    if whole:
        assert check_pair(xml_path).bin_bytes == EXPECTED_BIN_BYTES + extra
    else:
        with pytest.raises(EdgeError, match=r"m\.bin is not the one of m\.xml"):
            check_pair(xml_path)


def test_model_without_constants_has_an_empty_bin(tmp_path: Path) -> None:
    xml_path = write_pair(tmp_path, "m", xml='<?xml version="1.0"?><net name="m"></net>', bin_bytes=0)
    assert check_pair(xml_path).bin_bytes == 0


@pytest.mark.parametrize("kept", [0, 3, 30, len(XML) // 2, len(XML.rstrip()) - 1])
def test_xml_cut_anywhere_is_refused(tmp_path: Path, kept: int) -> None:
    with pytest.raises(EdgeError, match=r"m\.xml"):
        check_pair(write_pair(tmp_path, "m", xml=XML[:kept]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (XML.replace("</layers>", "", 1), "damaged"),
        (XML.replace('offset="64"', ""), "'inner' has no readable offset"),
        (XML.replace('size="100"', 'size="many"'), "'inner' has no readable offset"),
        (XML.replace('offset="64"', 'offset="-64"'), "'inner' has a negative"),
        ("{}", "does not start with"),
    ],
)
def test_xml_that_is_no_sound_ir_is_refused(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(EdgeError, match=message):
        read_constants(write_pair(tmp_path, "m", xml=wrong))


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no model directory"):
        check_ir(tmp_path / "absent")


def test_language_model_is_three_pairs(tmp_path: Path) -> None:
    for model in LANGUAGE_MODELS:
        write_pair(tmp_path, model)
    assert [pair.xml_path.stem for pair in check_ir(tmp_path)] == list(LANGUAGE_MODELS)
    (tmp_path / "openvino_detokenizer.xml").unlink()
    with pytest.raises(EdgeError, match=r"openvino_detokenizer\.xml is missing"):
        check_ir(tmp_path)


def test_part_of_a_vision_model_is_never_taken_for_a_language_model(model_directory: Path) -> None:
    write_pair(model_directory, "openvino_model")
    (model_directory / "openvino_vision_embeddings_model.xml").unlink()
    with pytest.raises(EdgeError, match=r"openvino_vision_embeddings_model\.xml is missing"):
        check_ir(model_directory)


@pytest.mark.parametrize(
    ("config", "merger_needed"),
    [
        ('{"model_type": "qwen2_vl"}', True),
        ('{"model_type": "gemma3"}', False),
        ("{}", True),
        ("{", True),
    ],
)
def test_model_type_says_which_parts_a_vision_model_has(
    model_directory: Path, config: str, merger_needed: bool
) -> None:
    (model_directory / "config.json").write_text(config)
    (model_directory / "openvino_vision_embeddings_merger_model.xml").unlink()
    if merger_needed:
        with pytest.raises(EdgeError, match=r"merger_model\.xml is missing"):
            check_ir(model_directory)
    else:
        assert len(check_ir(model_directory)) == 5


def test_part_that_this_tool_does_not_know_is_checked_too(model_directory: Path) -> None:
    write_pair(model_directory, "openvino_audio_embeddings_model", bin_bytes=1)
    with pytest.raises(EdgeError, match=r"openvino_audio_embeddings_model\.bin is truncated"):
        check_ir(model_directory)
