# SPDX-License-Identifier: Apache-2.0
"""The configuration file: what is wrong in it is said, what is right means what it says."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import yaml

from depth_dpt_core.config import (
    ConfigError,
    EvaluationConfig,
    TrainingConfig,
    load_config,
)
from depth_dpt_ros.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = [
    path
    for folder in ("training", "training/builtin", "training/comparison")
    for path in sorted((REPOSITORY / folder).glob("*.yaml"))
    if path.name != "dvc.yaml"
]


def load(folder: Path, text: str) -> TrainingConfig:
    path = folder / "params.yaml"
    path.write_text(text)
    return load_config(path)


WRONG_KEYS = [
    ("nmae: x", "unknown key 'nmae'; known: name, output, data"),
    ("file: elsewhere.yaml", "unknown key 'file'"),
    ("optimization: {stepz: 3}", "optimization: unknown key 'stepz'; known: epochs, "),
    ("data: {root: d, 3: 4, x: 1}", "data: unknown key '3'"),
    ("labels: {max_depth: 80}", "labels: unknown key 'max_depth'; known: canonical_focal_length"),
    ("augmentation: {gray: 0.1}", "augmentation: unknown key 'gray'"),
]
WRONG_TYPES = [
    ("[1, 2]", "expected a mapping, got [1, 2]"),
    ("0", "expected a mapping, got 0"),
    ("false", "expected a mapping, got False"),
    ("''", "expected a mapping, got ''"),
    ("[]", "expected a mapping, got []"),
    ("a: b: c", "cannot be read as YAML"),
    ("name: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ("name: 2024-99-99", "cannot be read as YAML"),  # no such day
    ("name: 3", "name: expected str, got 3"),
    ("name: null", "name: expected str, got None"),
    ("output: [a]", "output: expected str, got ['a']"),
    ("data:", "data: expected a mapping, got None"),
    ("data: {width: 12.5}", "data: width: expected int, got 12.5"),
    ("data: {max_depth: null}", "data: max_depth: expected float, got None"),
    ("data: {max_depth: yes}", "data: max_depth: expected float, got True"),
    ("data: {max_depth: 1" + 400 * "0" + "}", "data: max_depth: "),
    ("labels: {canonical_focal_length: wide}", "expected float, got 'wide'"),
    ("labels: {aspect: crop}", "labels: aspect: expected one of pad, stretch, got 'crop'"),
    ("labels: {aspect: [pad]}", "labels: aspect: expected one of pad, stretch, got ['pad']"),
    ("model: regnet", "model: expected a mapping, got 'regnet'"),
    ("model: {width: 12.5}", "model: width: expected int, got 12.5"),
    ("model: {width: true}", "model: width: expected int, got True"),
    ("model: {output: sigmoid}", "model: output: expected one of exp, relu, got 'sigmoid'"),
    ("augmentation: {zoom: [1]}", "augmentation: zoom: expected 2 values, got [1]"),
    ("augmentation: {zoom: []}", "augmentation: zoom: expected 2 values, got []"),
    ("augmentation: {zoom: [1, 2, 3]}", "augmentation: zoom: expected 2 values"),
    ("augmentation: {zoom: [1, b]}", "augmentation: zoom: expected float, got 'b'"),
    ("augmentation: {zoom: 1.5}", "augmentation: zoom: expected a list, got 1.5"),
    ("augmentation: {jpeg_quality: [40.5, 95]}", "jpeg_quality: expected int, got 40.5"),
    ("loss: {form: l1}", "loss: form: expected one of log, reference, got 'l1'"),
    ("loss: {far_weight: none}", "loss: far_weight: expected float, got 'none'"),
    ("optimization: {encoder_lr: fast}", "encoder_lr: expected float, got 'fast'"),
    ("optimization: {pretrained: 1}", "pretrained: expected bool, got 1"),
    ("optimization: {precision: int8}", "precision: expected one of bf16, fp16, fp32, got 'int8'"),
    ("optimization: {metric: loss}", "metric: expected one of abs_rel, sq_rel, rmse, rmse_log, "),
    ("tracking: {uri: 5000}", "tracking: uri: expected str, got 5000"),
    ("evaluation: {protocols: metric}", "evaluation: protocols: expected a list, got 'metric'"),
    ("evaluation: {protocols: [metric, kitti]}", "protocols: expected one of metric, manydepth"),
    ("evaluation: {ranges: [0, far]}", "evaluation: ranges: expected float, got 'far'"),
    ("promotion: {metric: speed}", "promotion: metric: expected one of abs_rel"),
    ("export: {batch: 1.0}", "export: batch: expected int, got 1.0"),
    ("export: {private: 'no'}", "export: private: expected bool, got 'no'"),
]
WRONG_VALUES = [
    ("data: {width: 0}", "data: width must be positive, got 0"),
    ("data: {max_depth: -80}", "data: max_depth must be positive, got -80.0"),
    ("data: {max_depth: .inf}", "data: max_depth must be positive, got inf"),
    ("data: {baseline: 0}", "data: baseline must be positive"),
    ("data: {focal_length: .nan}", "data: focal_length must be positive, got nan"),
    ("labels: {canonical_focal_length: 0}", "labels: canonical_focal_length must be positive"),
    ("labels: {min_depth: 0}", "labels: min_depth must be positive, got 0.0"),
    ("model: {height: -1}", "model: height must be positive, got -1"),
    ("model: {features: 0}", "model: features must be positive, got 0"),
    ("augmentation: {flip: 1.5}", "augmentation: flip must be from 0 to 1, got 1.5"),
    ("augmentation: {letterbox: -0.1}", "augmentation: letterbox must be from 0 to 1"),
    ("augmentation: {grey: .nan}", "augmentation: grey must be from 0 to 1, got nan"),
    ("augmentation: {blur: 2}", "augmentation: blur must be from 0 to 1"),
    ("augmentation: {jpeg: 15}", "augmentation: jpeg must be from 0 to 1"),
    ("augmentation: {zoom: [0.5, 1]}", "zoom must be two rising values from 1, got [0.5, 1.0]"),
    ("augmentation: {zoom: [2, 1]}", "zoom must be two rising values from 1, got [2.0, 1.0]"),
    ("augmentation: {zoom: [1, .nan]}", "zoom must be two rising values from 1"),
    ("augmentation: {aspect: [0, 1]}", "aspect must be two rising values from 0.1"),
    ("augmentation: {jpeg_quality: [0, 50]}", "jpeg_quality must be two rising values from 1"),
    ("optimization: {epochs: 0}", "optimization: epochs must be positive, got 0"),
    ("optimization: {batch_size: -2}", "optimization: batch_size must be positive, got -2"),
    ("optimization: {accumulate: 0}", "optimization: accumulate must be positive"),
    ("optimization: {clip_norm: 0}", "optimization: clip_norm must be positive"),
    ("optimization: {patience: 0}", "optimization: patience must be positive"),
    ("optimization: {checkpoint_every: 0}", "optimization: checkpoint_every must be positive"),
    ("evaluation: {protocols: []}", "evaluation: protocols must name at least one"),
    ("evaluation: {protocols: [reference, metric]}", "begin with metric, got reference"),
    ("evaluation: {protocols: [manydepth]}", "begin with metric, got manydepth"),
    ("name: ''", "name may hold letters, digits, . _ and -, got ''"),
    ("name: a/b", "name may hold letters, digits, . _ and -, got 'a/b'"),
    ("name: it's", "name may hold letters, digits"),
    ("evaluation: {ranges: []}", "evaluation: ranges must be rising edges, got []"),
    ("evaluation: {ranges: [80]}", "evaluation: ranges must be rising edges, got [80.0]"),
    ("evaluation: {ranges: [0, 80, 40]}", "ranges must be rising edges, got [0.0, 80.0, 40.0]"),
    ("evaluation: {ranges: [0, 40, 40]}", "ranges must be rising edges"),
    ("export: {batch: 0}", "export: batch must be positive, got 0"),
]


@pytest.mark.parametrize(
    ("text", "message"), [*WRONG_KEYS, *WRONG_TYPES, *WRONG_VALUES], ids=lambda it: it[:40]
)
def test_a_wrong_configuration_is_one_line_that_names_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/params.yaml: ")
    assert message in str(error.value)


IMPOSSIBLE = [
    "labels: {min_depth: 90}",  # nothing lies between it and data.max_depth
    "augmentation: {brightness: -0.1}",
    "augmentation: {contrast: .nan}",
    "augmentation: {saturation: .inf}",
    "augmentation: {hue: 0.6}",  # half the circle is all there is
    "augmentation: {noise: -1}",
    "augmentation: {zoom: [1, .inf]}",
    "augmentation: {jpeg_quality: [50, 101]}",
    "loss: {gradient_weight: .nan}",
    "loss: {far_weight: -1}",
    "optimization: {encoder_lr: -1e-5}",
    "optimization: {decoder_lr: .inf}",
    "optimization: {weight_decay: -0.1}",
    "optimization: {warmup_steps: -1}",
    "optimization: {ema_decay: 1.5}",
    "optimization: {seed: -1}",
    "optimization: {workers: -1}",
    "evaluation: {ranges: [0, .nan, 80]}",
    "evaluation: {protocols: [metric, metric]}",
    "promotion: {min_improvement: .nan}",
]


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_values_that_cannot_work_are_refused_when_read(tmp_path, text):
    """Rather than hours later, or never."""
    with pytest.raises(ConfigError, match=text.partition("{")[2].partition(":")[0]):
        load(tmp_path, text)


@pytest.mark.parametrize("command", ["preprocess", "train", "evaluate", "promote", "export"])
def test_commands_print_what_is_wrong_on_one_line(tmp_path, capsys, command):
    for package in ("torch", "timm", "mlflow", "accelerate", "kornia_rs"):
        pytest.importorskip(package, reason=f"needs {package}: pip install '.[train]'")
    path = tmp_path / "params.yaml"
    path.write_text("optimization: {epochs: many}")
    assert main([command, "--config", str(path)]) == 1
    expected = f"depth-dpt: {path}: optimization: epochs: expected int, got 'many'\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: \x00"])
def test_a_file_that_is_no_text_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "odd.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"odd\.yaml: cannot be read as YAML"):
        load_config(tmp_path / "odd.yaml")


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_missing_configuration_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(ConfigError, match=str(tmp_path / name)):
        load_config(tmp_path / name)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "null", "---\n", "data: {}"])
def test_what_is_not_given_has_its_default(tmp_path, text):
    config = load(tmp_path, text)
    assert config.recipe() == TrainingConfig().recipe()
    assert config.file == str(tmp_path / "params.yaml")


def test_numbers_are_of_the_type_that_they_are_used_as(tmp_path):
    text = """
    labels: {canonical_focal_length: 300}
    optimization: {encoder_lr: 1e-5, decoder_lr: 1}   # YAML 1.1 reads the first as text
    augmentation: {zoom: [1, 2], jpeg_quality: [1, 100]}
    evaluation: {ranges: [0, 5, 1e2], protocols: [metric, reference]}
    """
    config = load(tmp_path, text)
    assert repr(config.labels.canonical_focal_length) == "300.0"
    assert repr(config.optimization.encoder_lr) == "1e-05"
    assert repr(config.optimization.decoder_lr) == "1.0"
    assert repr(config.augmentation.zoom) == "(1.0, 2.0)"
    assert repr(config.augmentation.jpeg_quality) == "(1, 100)"
    assert repr(config.evaluation.ranges) == "(0.0, 5.0, 100.0)"
    assert config.evaluation.protocols == ("metric", "reference")


def test_labels_may_have_no_canonical_focal_length(tmp_path):
    text = "labels: {canonical_focal_length: null}"
    assert load(tmp_path, text).labels.canonical_focal_length is None


def test_paths_count_from_the_configuration_file(tmp_path, monkeypatch):
    folder = tmp_path / "training"
    folder.mkdir()
    text = "output: ../out\ndata: {root: d, processed: p}\nexport: {file: m/x.onnx}\n"
    (folder / "params.yaml").write_text(text + "tracking: {uri: 'sqlite:///runs/mlflow.db'}")
    elsewhere = load_config(folder / "params.yaml")
    monkeypatch.chdir(folder)
    here = load_config(Path("params.yaml"))
    for config in (elsewhere, here):
        assert Path(config.output).resolve() == tmp_path / "out"
        assert Path(config.data.root) == folder / "d"
        assert Path(config.data.processed) == folder / "p"
        assert Path(config.export.file) == folder / "m/x.onnx"
        assert config.tracking.uri == f"sqlite:///{folder}/runs/mlflow.db"
        assert config.candidate.resolve() == tmp_path / "out/candidate.safetensors"
        assert config.champion.resolve() == tmp_path / "out/champion.safetensors"
    assert here.file == "params.yaml"


def test_absolute_paths_and_servers_are_taken_as_they_are(tmp_path):
    text = "data: {root: /elsewhere}\ntracking: {uri: 'sqlite:////var/mlflow.db'}"
    config = load(tmp_path, text)
    assert config.data.root == "/elsewhere"
    assert config.tracking.uri == "sqlite:////var/mlflow.db"
    server = load(tmp_path, "tracking: {uri: 'http://localhost:5000'}")
    assert server.tracking.uri == "http://localhost:5000"


def test_plain_values_make_the_same_configuration_again(tmp_path):
    text = "labels: {canonical_focal_length: null}\nevaluation: {ranges: [0, 5]}"
    config = load(tmp_path, text)
    content = config.to_dict()
    assert content == json.loads(json.dumps(content))
    assert load(tmp_path, yaml.safe_dump(content)) == config


def values(section, prefix=()):
    """Every setting by its place: ("data", "root"), ..."""
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if dataclasses.is_dataclass(value):
            yield from values(value, (*prefix, item.name))
        elif item.name != "file" or prefix:
            yield (*prefix, item.name), value


OTHERWISE = {"name", "output", "tracking", "evaluation", "promotion", "export"}
NOT_WEIGHTS = {
    ("data", "root"), ("data", "processed"), ("optimization", "checkpoint_every"),
    ("optimization", "workers"),
}  # fmt: skip


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return value[:-1] + (value[-1] + 1,) if isinstance(value[-1], int) else (1.5, 2.0)
    if isinstance(value, str):
        return {"pad": "stretch", "exp": "relu", "log": "reference", "bf16": "fp32",
                "abs_rel": "rmse"}.get(value, value + "x")  # fmt: skip
    return value * 2 or 1


PLACES = dict(values(TrainingConfig()))


@pytest.mark.parametrize(
    "place", [place for place in PLACES if place[0] not in OTHERWISE], ids=".".join
)
def test_the_recipe_is_what_decides_the_weights_and_nothing_else(place):
    section, name = place
    default = TrainingConfig()
    changed = {name: another(PLACES[place])}
    if name in {"flip", "letterbox", "grey", "blur", "jpeg", "ema_decay"}:  # at most 1
        changed = {name: 0.9}
    if name == "start_from":
        changed = {name: __file__}
    other = dataclasses.replace(
        default, **{section: dataclasses.replace(getattr(default, section), **changed)}
    )
    assert other != default
    assert (other.recipe() == default.recipe()) == (place in NOT_WEIGHTS)


def test_what_comes_after_training_is_no_part_of_the_recipe():
    default = TrainingConfig()
    later = dataclasses.replace(
        default,
        name="x",
        output="y",
        evaluation=EvaluationConfig(protocols=("metric",)),
        promotion=dataclasses.replace(default.promotion, metric="rmse"),
        export=dataclasses.replace(default.export, batch=2),
    )
    assert later.recipe() == default.recipe()
    assert json.loads(json.dumps(default.recipe())) == default.recipe()


# the recipes of this repository


def test_the_cityscapes_recipe_lists_every_setting_with_its_default():
    content = yaml.safe_load((REPOSITORY / "training/params.yaml").read_text())
    assert content == TrainingConfig().to_dict()
    read = load_config(REPOSITORY / "training/params.yaml")
    assert read.recipe() == TrainingConfig().recipe()


@pytest.mark.parametrize(
    "path", RECIPES, ids=lambda path: str(path.relative_to(REPOSITORY / "training"))
)
def test_the_recipes_of_the_repository_are_read(path):
    config = load_config(path)
    assert config.optimization.epochs > 0
    root = Path(os.path.normpath(config.data.root))  # not resolve: it may be a link
    assert root.parent == REPOSITORY / "training/data"
    names = [load_config(other).name for other in RECIPES]
    assert names.count(config.name) == 1  # runs of one do not pass for another's


def test_recipes_are_compared_on_the_same_data():
    compared = [path for path in RECIPES if path.parent.name == "comparison"]
    assert len(compared) >= 3
    first, *others = (load_config(path) for path in compared)
    for other in others:
        assert other.data == first.data
        assert other.optimization.epochs == first.optimization.epochs
        assert other.optimization.batch_size == first.optimization.batch_size
        assert other.optimization.seed == first.optimization.seed


def test_weights_to_start_from_are_told_apart_by_what_they_are(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "weights.safetensors").write_bytes(b"the same")
        text = "optimization: {start_from: weights.safetensors}"
        (tmp_path / folder / "params.yaml").write_text(text)
    recipes = [load_config(tmp_path / it / "params.yaml").recipe() for it in ("here", "there")]
    assert recipes[0] == recipes[1]
    (tmp_path / "there" / "weights.safetensors").write_bytes(b"others")
    assert load_config(tmp_path / "there" / "params.yaml").recipe() != recipes[0]
    (tmp_path / "there" / "weights.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"start_from: .*there/weights.safetensors cannot be"):
        load_config(tmp_path / "there" / "params.yaml").recipe()
