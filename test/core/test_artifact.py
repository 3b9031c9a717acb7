# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import math

import pytest
from tiny_models import describe, write_own, write_third_party

from depth_dpt_core.artifact import (
    SCHEMA_VERSION,
    ArtifactError,
    InputSpec,
    ModelSpec,
    OutputSpec,
    read,
    resolve,
)

FULL = ModelSpec(
    width=8,
    height=4,
    canonical_focal_length=6.5,
    canonical_focal_length_y=7.5,
    aspect="stretch",
    min_depth=0.2,
    max_depth=60.0,
    precision="fp16",
    sibling="tiny.onnx",
    encoder="none",
    dataset="streets",
    training_run="run 7, step 100",
    source_revision="abc",
    metrics={"abs_rel": 0.1, "rmse": 3.0},
    input=InputSpec(color="BGR", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
    output=OutputSpec(quantity="inverse_depth", scale=0.5, shift=0.01),
)
MINIMAL = {"width": 8, "height": 4}


def only_line(error):
    """The message, which must be one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def third_party(tmp_path):
    return write_third_party(tmp_path / "other.onnx", size=(8, 4), weights=(1, 1, 1), bias=0)


@pytest.mark.parametrize("spec", [FULL, ModelSpec(width=8, height=4)], ids=["full", "defaults"])
def test_description_survives_the_file(tmp_path, spec):
    path = write_own(tmp_path / "model.onnx", spec)
    artifact = read(path)
    assert artifact.path == path
    assert artifact.spec == spec
    assert resolve(str(path)) == artifact


def test_vertical_focal_length_defaults_to_the_horizontal():
    assert FULL.canonical_fy == 7.5
    assert ModelSpec(8, 4, canonical_focal_length=6.5).canonical_fy == 6.5
    assert ModelSpec(8, 4).canonical_fy is None


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_own(tmp_path / "model.onnx", FULL)
    assert resolve("~/model.onnx").spec == FULL


def test_builtin_describes_itself():
    artifact = resolve("builtin")
    assert artifact.path.name == "builtin.onnx"
    assert artifact.spec.canonical_focal_length > 0
    assert artifact.spec.input == InputSpec()
    assert artifact.spec.output == OutputSpec()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a model that ONNX Runtime can load"),
        (b"Not an ONNX file at all.\n" * 10, "not a model that ONNX Runtime can load"),
        ("truncated", "not a model that ONNX Runtime can load"),
        (None, "no such model file"),
        ("folder", "no such model file"),
    ],
)
def test_files_that_are_no_models(tmp_path, content, complaint):
    path = tmp_path / "model.onnx"
    if content == "truncated":
        whole = write_own(tmp_path / "whole.onnx", FULL).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError) as error:
        read(path)
    assert only_line(error).startswith(f"{path}: {complaint}")


def changed(**values):
    return json.dumps({**json.loads(FULL.to_json()), **values})


BAD_VALUES = [
    ({"width": 0}, "width is 0"),
    ({"width": None}, "width is None"),
    ({"width": "8"}, "width is '8'"),
    ({"width": True}, "width is True"),
    ({"height": -4}, "height is -4"),
    ({"height": 4.5}, "height is 4.5"),
    ({"canonical_focal_length": 0}, "canonical_focal_length is 0"),
    ({"canonical_focal_length": math.inf}, "canonical_focal_length is inf"),
    ({"canonical_focal_length_y": math.nan}, "canonical_focal_length_y is nan"),
    ({"aspect": "squash"}, "aspect is 'squash'"),
    ({"precision": "int8"}, "precision is 'int8'"),
    ({"min_depth": 80, "max_depth": 80}, "min_depth < max_depth"),
    ({"min_depth": -1}, "min_depth < max_depth"),
    ({"min_depth": "near"}, "min_depth < max_depth"),
    ({"max_depth": math.nan}, "min_depth < max_depth"),
    ({"input": {"layout": "CHWN"}}, "input layout is 'CHWN'"),
    ({"input": {"dtype": "float16"}}, "input dtype is 'float16'"),
    ({"input": {"color": "GRB"}}, "input color is 'GRB'"),
    ({"input": {"mean": [0.5, 0.5]}}, "mean is (0.5, 0.5)"),
    ({"input": {"mean": 0.5}}, "mean is 0.5"),
    ({"input": {"mean": "abc"}}, "mean is 'abc'"),
    ({"input": {"std": [1, "a", 1]}}, "std is (1, 'a', 1)"),
    ({"input": {"std": [1, 0, 1]}}, "none of them may be 0"),
    ({"input": "image"}, "input: must be a mapping"),
    ({"input": {"size": 3}}, "input: unknown field 'size'"),
    ({"output": {"quantity": "disparity"}}, "output quantity is 'disparity'"),
    ({"output": {"scale": "x"}}, "output scale 'x'"),
    ({"output": {"name": 797}}, "output name is 797, must be text: quote it"),
    ({"input": {"name": None}}, "input name is None, must be text"),
    ({"output": {"relative": "no"}}, "output relative is 'no', must be one of (False, True)"),
    ({"output": {"scale": 0}}, "output scale 0"),
    ({"output": {"shift": math.nan}}, "shift nan"),
    ({"metrics": [0.1]}, "metrics is (0.1,), must be names and numbers"),
    ({"metrics": {"abs_rel": None}}, "metrics is {'abs_rel': None}"),
    ({"colour": "blue"}, "unknown field 'colour'; known: width, height"),
]


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ("{half of", "metadata 'depth_dpt' is not JSON"),
        ("", "metadata 'depth_dpt' is not JSON"),
        ("[1, 2]", "must be a mapping"),
        ('{"height": 4}', "field 'width' is missing"),
        (
            changed(schema_version=SCHEMA_VERSION + 1),
            "description of schema 2; this version reads",
        ),
        # a newer schema is named as such, not by its unknown fields
        (changed(schema_version=9, novelty=1), "description of schema 9"),
        *((changed(**values), complaint) for values, complaint in BAD_VALUES),
    ],
)
def test_bad_metadata_is_one_clear_line(tmp_path, metadata, complaint):
    path = write_own(tmp_path / "model.onnx", FULL, metadata=metadata)
    with pytest.raises(ArtifactError) as error:
        read(path)
    assert only_line(error).startswith(str(path))
    assert complaint in str(error.value)


def test_yaml_beside_a_third_partys_model(third_party):
    describe(third_party, **json.loads(FULL.to_json()))
    assert read(third_party).spec == FULL


def test_short_yaml_takes_defaults(third_party):
    describe(third_party, **MINIMAL, input={"name": "pixels", "mean": [0.5, 0.5, 0.5]})
    wanted = ModelSpec(8, 4, input=InputSpec(name="pixels", mean=(0.5, 0.5, 0.5)))
    assert read(third_party).spec == wanted


def test_the_description_inside_wins_over_yaml(tmp_path):
    path = write_own(tmp_path / "model.onnx", FULL)
    describe(path, **MINIMAL)
    assert read(path).spec == FULL


def test_without_any_description_the_expected_place_is_named(third_party):
    with pytest.raises(ArtifactError) as error:
        read(third_party)
    assert "other.yaml is not beside it" in only_line(error)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"width: [8\nheight: 4\n", "not YAML"),
        (b"width: \xff\xfe\x00\n", "not YAML"),
        (b"", "must be a mapping"),
        (b"- 8\n- 4\n", "must be a mapping"),
        (b"width: 8\n", "field 'height' is missing"),
        (b"width: 8\nheight: 4\n1: 2\nspeed: 3\n", "unknown field 1;"),
        (b"width: 8\nheight: 4\nmin_depth: 1e-3\n", "got '1e-3'"),  # YAML 1.1 wants 1.0e-3
        (b"width: 8\nheight: 4\ninput: {mean: }\n", "mean is None"),
    ],
)
def test_bad_yaml_is_one_clear_line(third_party, content, complaint):
    beside = third_party.with_suffix(".yaml")
    beside.write_bytes(content)
    with pytest.raises(ArtifactError) as error:
        read(third_party)
    assert only_line(error).startswith(str(beside))
    assert complaint in str(error.value)


def test_yaml_does_not_run_code(third_party, tmp_path):
    mark = tmp_path / "ran"
    third_party.with_suffix(".yaml").write_text(f"!!python/object/apply:os.mkdir ['{mark}']")
    with pytest.raises(ArtifactError, match="not YAML"):
        read(third_party)
    assert not mark.exists()


@pytest.mark.parametrize(
    "model",
    [
        "hf://", "hf://owner", "hf://owner/repo", "hf://owner/repo/", "hf://owner/repo/m.onnx@",
        "hf://owner/repo/m.onnx@a@b", "hf:///repo/m.onnx", "hf://owner/repo/m x.onnx",
        "hf://owner/repo@main/m.onnx",
    ],
)  # fmt: skip
def test_malformed_hub_addresses_say_what_is_right(model):
    with pytest.raises(ArtifactError) as error:
        resolve(model)
    assert only_line(error) == f"{model}: write it as hf://owner/repo/file@revision"


def test_a_description_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.width = 9
