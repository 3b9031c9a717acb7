# SPDX-License-Identifier: Apache-2.0
"""Weights files: they bring back the same network, and nothing else passes for one."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from depth_dpt_core.artifact import ModelSpec  # noqa: E402
from depth_dpt_core.config import (  # noqa: E402
    DataConfig,
    DPTConfig,
    LabelConfig,
    LossConfig,
    TrainingConfig,
)
from depth_dpt_core.model.checkpoint import (  # noqa: E402
    CheckpointError,
    TrainingRecord,
    copy_weights,
    load_model,
    read_record,
    save_model,
)
from depth_dpt_core.model.dpt import DPT  # noqa: E402

VIT, CONV = "vit_tiny_patch16_224", "regnetx_004"
KEY = "depth_dpt_training"


def build(encoder=CONV, output="exp") -> DPT:
    torch.manual_seed(0)
    return DPT(DPTConfig(encoder, 64, 96, 16, output)).eval()


def record_of(model: DPT, **sections) -> TrainingRecord:
    return TrainingRecord(
        name="streets",
        recipe=TrainingConfig(model=model.config, **sections).recipe(),
        epoch=7,
        validation={"abs_rel": 0.12, "rmse": 3.5},
        run_id="4f",
        source_revision="0123abc",
        data_fingerprint="ffee",
        test={"abs_rel": 0.125},
    )


@pytest.mark.slow
@pytest.mark.parametrize("output", ["exp", "relu"])
@pytest.mark.parametrize("encoder", [VIT, CONV])
def test_a_checkpoint_brings_back_the_same_answers_and_its_record(tmp_path, encoder, output):
    model, path = build(encoder, output).train(), tmp_path / "runs" / "m.safetensors"
    model(torch.rand(2, 3, 64, 96))  # moves the statistics of normalisation
    model.eval()
    save_model(path, model, record_of(model))
    loaded, record = load_model(path)
    image = torch.rand(1, 3, 64, 96)
    assert record == read_record(path) == record_of(model)
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(model(image), loaded(image))


def test_weights_in_another_memory_layout_are_the_same_weights(tmp_path):
    """Training keeps channels last."""
    model = build().to(memory_format=torch.channels_last)
    save_model(tmp_path / "m.safetensors", model, record_of(model))
    theirs = load_model(tmp_path / "m.safetensors")[0].state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


def test_the_record_is_plain_json_that_others_can_read(tmp_path):
    model = build()
    save_model(tmp_path / "m.safetensors", model, record_of(model))
    with safe_open(str(tmp_path / "m.safetensors"), framework="pt") as file:
        content = json.loads(file.metadata()[KEY])
    assert content["recipe"]["model"]["encoder"] == CONV
    assert content["validation"] == {"abs_rel": 0.12, "rmse": 3.5}
    assert content["recipe"]["augmentation"]["zoom"] == [1.0, 1.7]


def test_what_an_artifact_says_comes_from_the_record():
    model = build()
    record = record_of(
        model,
        data=DataConfig(root="/somewhere", description="some streets", max_depth=90.0),
        labels=LabelConfig(canonical_focal_length=333.0, min_depth=0.7, aspect="stretch"),
        loss=LossConfig(form="reference"),
    )
    assert record.model_spec() == ModelSpec(
        width=96,
        height=64,
        canonical_focal_length=333.0,
        aspect="stretch",
        min_depth=0.7,
        max_depth=90.0,
        encoder=CONV,
        dataset="some streets",
        training_run="streets, epoch 7, run 4f",
        source_revision="0123abc",
        metrics={"abs_rel": 0.125},
    )


def test_a_model_without_canonical_focal_length_says_so():
    record = record_of(build(), labels=LabelConfig(canonical_focal_length=None))
    assert record.model_spec().canonical_focal_length is None


def test_a_failed_save_leaves_the_file_as_it_was(tmp_path):
    model, path = build(), tmp_path / "m.safetensors"
    save_model(path, model, record_of(model))
    before = path.read_bytes()
    broken = TrainingRecord("x", {"model": object()}, 1, {})
    with pytest.raises(TypeError):
        save_model(path, model, broken)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# what is no checkpoint


def record(**changes) -> dict:
    return {"name": "x", "recipe": {"model": SMALL}, "epoch": 1, "validation": {}, **changes}


def described(about):
    text = about if isinstance(about, str) else json.dumps(about)
    return lambda path: save_file({"a": torch.zeros(2)}, path, {KEY: text})


SMALL = {"encoder": CONV, "height": 64, "width": 64, "features": 16, "output": "exp"}
NO_RECORD = {
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "other bytes": lambda path: path.write_bytes(b"PK\x03\x04 a pickle perhaps"),
    "a pickle": lambda path: torch.save({"model": {}}, path),
    "no metadata": lambda path: save_file({"a": torch.zeros(2)}, path),
    "another program's": lambda path: save_file({"a": torch.zeros(2)}, path, {"format": "pt"}),
    "no JSON": described("not JSON"),
    "nested without end": described("[" * 100000),
    "a list": described([1, 2]),
    "a number": described("7"),
    "of the first version": described({"config": {"model": SMALL}, "step": 1}),
    "no epoch": described({key: value for key, value in record().items() if key != "epoch"}),
}
NO_MODEL = {
    "no recipe": described(record(recipe={})),
    "a list as recipe": described(record(recipe=[])),
    "a number as model": described(record(recipe={"model": 3})),
    "an unknown encoder": described(
        record(recipe={"model": SMALL | {"encoder": "resnet_of_nowhere"}})
    ),
    "a number as encoder": described(record(recipe={"model": SMALL | {"encoder": 5}})),
    "a size that does not fit": described(record(recipe={"model": SMALL | {"height": 50}})),
    "a word as size": described(record(recipe={"model": SMALL | {"height": "high"}})),
    "an unknown setting": described(record(recipe={"model": SMALL | {"colour": 1}})),
    "other tensors": described(record()),
}


@pytest.mark.parametrize("kind", [*NO_RECORD, *NO_MODEL])
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path, kind):
    path = tmp_path / "odd.safetensors"
    (NO_RECORD | NO_MODEL)[kind](path)
    with pytest.raises(CheckpointError, match=r"odd\.safetensors") as error:
        load_model(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("kind", NO_RECORD)
def test_what_has_no_record_is_refused_by_name(tmp_path, kind):
    path = tmp_path / "odd.safetensors"
    NO_RECORD[kind](path)
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: not a checkpoint"):
        read_record(path)


def test_a_checkpoint_of_an_output_that_is_not_known_is_refused(tmp_path):
    """Its answers would be read as something else."""
    model, path = build(), tmp_path / "odd.safetensors"
    content = record(recipe={"model": SMALL | {"width": 96, "output": "sigmoid"}})
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, {KEY: json.dumps(content)})
    with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
        load_model(path)


@pytest.mark.parametrize("lost", [1, 1000])
def test_a_truncated_checkpoint_is_refused(tmp_path, lost):
    model = build()
    path = tmp_path / "odd.safetensors"
    save_model(path, model, record_of(model))
    path.write_bytes(path.read_bytes()[:-lost])
    for read in (load_model, read_record):
        with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
            read(path)


def test_a_missing_checkpoint_is_named_with_what_makes_it(tmp_path):
    for read in (read_record, load_model):
        with pytest.raises(CheckpointError, match="is missing: run depth-dpt train"):
            read(tmp_path / "absent.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [VIT, CONV])
def test_weights_can_be_gone_on_from_at_another_size(tmp_path, encoder):
    model, path = build(encoder), tmp_path / "m.safetensors"
    save_model(path, model, record_of(model))
    torch.manual_seed(1)
    same = DPT(DPTConfig(encoder, 64, 96, 16)).eval()
    larger = DPT(DPTConfig(encoder, 128, 192, 16)).eval()
    copy_weights(path, same, record_of(model).recipe["labels"]["canonical_focal_length"])
    copy_weights(path, larger, None)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(same(image), model(image))
        assert torch.isfinite(larger(torch.rand(1, 3, 128, 192))).all()
    theirs = dict(model.named_parameters())
    moved = [
        name for name, value in larger.named_parameters() if value.shape != theirs[name].shape
    ]
    assert moved == (["encoder.backbone.model.pos_embed"] if encoder == VIT else [])
    for name, value in larger.named_parameters():
        assert name in moved or torch.equal(value, theirs[name])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DPTConfig("regnetx_002", 64, 96, 16), "weights of model.encoder regnetx_004, not"),
        (DPTConfig(CONV, 64, 96, 32), "weights of model.features 16, not 32"),
        (DPTConfig(CONV, 64, 96, 16, "relu"), "weights of model.output exp, not relu"),
    ],
)
def test_weights_of_another_network_are_not_gone_on_from(tmp_path, config, message):
    path = tmp_path / "m.safetensors"
    save_model(path, build(), record_of(build()))
    with pytest.raises(CheckpointError, match=message):
        copy_weights(path, DPT(config), None)


@pytest.mark.parametrize("output", ["exp", "relu"])
def test_another_canonical_focal_length_scales_the_answers(tmp_path, output):
    model, path = build(output=output), tmp_path / "m.safetensors"
    save_model(path, model, record_of(model, labels=LabelConfig(canonical_focal_length=150.0)))
    other = DPT(model.config).eval()
    copy_weights(path, other, 300.0)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(other(image), 2 * model(image))
