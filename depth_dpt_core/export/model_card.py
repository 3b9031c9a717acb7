# SPDX-License-Identifier: Apache-2.0
"""The page that a published model shows about itself."""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from depth_dpt_core.artifact import ModelSpec


def model_card(spec: ModelSpec, *, repository: str, file: str, revision: str) -> str:
    """README.md of a repository: metadata as the Hub reads it, then what people read.

    Args:
        spec: description of the model.
        repository: OWNER/NAME.
        file: the artifact's name in the repository.
        revision: what pins this model, for the lines that can be copied.
    """
    name = repository.partition("/")[2]
    data = ModelCardData(
        license="apache-2.0",
        pipeline_tag="depth-estimation",
        tags=["onnx", "ros2", "metric-depth"],
        model_name=name,
        eval_results=_results(spec),
    )
    text = f"""---
{data.to_yaml()}
---

# {name}

Metric depth from one camera: an RGB image in, depth along the camera's z axis in metres for
every pixel out. `{file}` is a whole artifact of depth_dpt_ros: preprocessing, network and
description in one ONNX file.

{_facts(spec)}
{_metrics(spec)}
## Use

```sh
pip install 'depth_dpt_ros[hub]'
# --fx: the camera's focal length in pixels
depth-dpt predict street.jpg --fx 1000 --out depth --model hf://{repository}/{file}@{revision}
ros2 launch depth_dpt_ros depth.launch.py model:=hf://{repository}/{file}@{revision}
```

The tag `{revision}` is named after the content of the file.
"""
    return str(ModelCard(text))


def _results(spec: ModelSpec) -> list[EvalResult] | None:
    dataset = spec.dataset or "not recorded"
    return [
        EvalResult(
            task_type="depth-estimation",
            dataset_type="-".join(dataset.lower().split()),
            dataset_name=dataset,
            dataset_split="test",
            metric_type=metric,
            metric_value=value,
        )
        for metric, value in spec.metrics.items()
    ] or None


def _facts(spec: ModelSpec) -> str:
    fx = spec.canonical_focal_length
    focal_length = (
        "none; metres as in the training data, whatever the camera"
        if fx is None
        else f"{fx:g} pixels at that size; for other cameras depth is scaled"
    )
    aspect = {"pad": "padded to keep its aspect", "stretch": "stretched to fit"}[spec.aspect]
    facts = {
        "Network size": f"{spec.width}x{spec.height} pixels; the image is {aspect}",
        "Canonical focal length": focal_length,
        "Range": f"{spec.min_depth:g} to {spec.max_depth:g} m at the canonical focal length",
        "Precision": spec.precision + (f"; {spec.sibling} is the other" if spec.sibling else ""),
        "Encoder": spec.encoder,
        "Trained on": spec.dataset,
        "Training run": spec.training_run,
        "Source revision": spec.source_revision,
    }
    lines = [f"- {key}: {value or 'not recorded'}" for key, value in facts.items()]
    return "\n".join(lines) + "\n"


def _metrics(spec: ModelSpec) -> str:
    if not spec.metrics:
        return "It has not been scored on a test split.\n"
    rows = [f"| {metric} | {value:.4g} |" for metric, value in spec.metrics.items()]
    return "\n".join(
        ["## Metrics on the test split", "", "| metric | value |", "|-|-|", *rows, ""]
    )
