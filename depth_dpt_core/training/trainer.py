# SPDX-License-Identifier: Apache-2.0
"""The training loop: read it from top to bottom."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from depth_dpt_core.data.dataset import DepthDataset, Example
from depth_dpt_core.files import replacing, write_atomically
from depth_dpt_core.metrics import DepthMetrics, MetricsAccumulator
from depth_dpt_core.model.checkpoint import save_model
from depth_dpt_core.model.dpt import DPT
from depth_dpt_core.training.config import ConfigError, OptimizationConfig, TrainingConfig
from depth_dpt_core.training.losses import far_loss, gradient_loss, silog_loss

STATE_FILE = "state.pt"
MODEL_FILE = "model.safetensors"
LOG_FILE = "log.jsonl"


def train(config: TrainingConfig, *, resume: bool = False) -> Path:
    """Train a model; returns the file of its (averaged) weights.

    Everything goes to `OUTPUT/NAME`: the state to resume from, a log of one JSON object a line,
    and the model. An interrupted run goes on with `resume`.

    Raises:
        ConfigError: the output folder holds a run and `resume` was not given, or it was begun
            with another configuration or cannot be read.
        DataError: the data cannot be used.
    """
    folder = Path(config.output) / config.name
    options = config.optimization
    state_path = folder / STATE_FILE
    if state_path.exists() and not resume:
        raise ConfigError(f"{folder} holds a run already: go on with --resume, or remove it")

    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    memory_format = torch.channels_last
    model = DPT(config.model, pretrained=options.pretrained and not state_path.exists())
    model = model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(_parameter_groups(model, options), betas=(0.9, 0.99))
    step = 0
    if state_path.exists():
        state = _read_state(state_path, device)
        if state["config"] != _resumable(config):
            raise ConfigError(f"{state_path} was begun with another configuration")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])

    size = (config.model.height, config.model.width)
    examples = DepthDataset("train", config.data, size, config.augmentation, options.seed)
    validation = DepthDataset("val", config.data, size, None)
    write_atomically(folder / "config.json", json.dumps(config.to_dict(), indent=1).encode())
    print(f"{folder}: {len(examples)} examples, {device}, step {step}/{options.steps}", flush=True)

    started, begun_at = time.monotonic(), step
    batches = _batches(examples, options, config.data.workers, step)
    while step < options.steps:
        rate = _set_learning_rates(optimizer, options, step)
        batch = next(batches)
        image = batch["image"].to(device).contiguous(memory_format=memory_format).float() / 255
        depth, far = batch["depth"].to(device), batch["far"].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            prediction = model.log_depth(image)
        known = depth > 0
        target = torch.log(torch.where(known, depth, 1.0))
        silog = silog_loss(prediction, target, known)
        gradient = gradient_loss(prediction, target, known)
        beyond = far_loss(prediction, far, config.data.max_depth)
        loss = silog + options.gradient_weight * gradient + options.far_weight * beyond
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
        if not math.isfinite(float(norm)):
            raise RuntimeError(
                f"step {step}: loss {loss.item()}, gradient {float(norm)}; training has diverged"
            )
        optimizer.step()
        step += 1
        _update_average(average, model, min(options.ema_decay, step / (step + 10)))

        saving = step % options.checkpoint_every == 0 or step == options.steps
        if step % 50 == 0 or step == options.steps:
            per_second = (step - begun_at) * options.batch_size / (time.monotonic() - started)
            left = (options.steps - step) * options.batch_size / per_second / 60
            row: dict[str, Any] = {
                "step": step, "loss": loss.item(), "silog": silog.item(),
                "gradient": gradient.item(), "far": beyond.item(), "norm": float(norm),
                "lr": rate, "images_per_s": round(per_second, 2),
            }  # fmt: skip
            _log(folder, row)
            print(f"step {step}/{options.steps} loss {row['loss']:.4f} silog {row['silog']:.4f} "
                  f"{per_second:.1f} images/s, {left:.0f} min left", flush=True)  # fmt: skip
        if step % options.eval_every == 0 or step == options.steps:
            metrics = evaluate(average, validation, config)
            _log(folder, {"step": step, "val": metrics.to_dict()})
            print(f"step {step} validation {metrics}", flush=True)
        if saving:
            # the model first: a state at the last step says that the run is finished
            save_model(folder / MODEL_FILE, average, config.to_dict(), step)
            with replacing(state_path) as temporary:
                torch.save(
                    {
                        "config": _resumable(config),
                        "model": model.state_dict(),
                        "average": average.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "step": step,
                    },
                    temporary,
                )
    return folder / MODEL_FILE


def _read_state(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, LookupError, ValueError, RuntimeError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise ConfigError(f"{path}: not the state of a run") from error
    if not isinstance(state, dict) or "config" not in state:
        raise ConfigError(f"{path}: not the state of a run")
    return state


@torch.no_grad()
def evaluate(model: DPT, dataset: DepthDataset, config: TrainingConfig) -> DepthMetrics:
    """The seven metrics at network size and canonical focal length, averaged over images."""
    device = next(model.parameters()).device
    totals = MetricsAccumulator(max_depth=config.data.max_depth)
    for batch in DataLoader(dataset, batch_size=config.optimization.batch_size):
        prediction = model(batch["image"].to(device).float() / 255)
        for answer, truth in zip(prediction, batch["depth"], strict=True):
            totals.add(answer[0].float().cpu().numpy(), truth[0].numpy())
    return totals.mean()


def _parameter_groups(model: DPT, options: OptimizationConfig) -> list[dict[str, Any]]:
    """Two learning rates; no decay on biases, norms, and position and class tokens."""
    decoder = {id(parameter) for parameter in model.decoder_parameters()}
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and not name.endswith(("pos_embed", "cls_token"))
        groups.setdefault((id(parameter) in decoder, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "base_lr": options.decoder_lr if in_decoder else options.encoder_lr,
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (in_decoder, decays), parameters in groups.items()
    ]


def _set_learning_rates(
    optimizer: torch.optim.Optimizer, options: OptimizationConfig, step: int
) -> float:
    """Linear warm-up, then half a cosine down to a hundredth; returns the decoder's rate."""
    if step < options.warmup_steps:
        factor = (step + 1) / options.warmup_steps
    else:
        progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
        factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return options.decoder_lr * factor


def _batches(
    dataset: DepthDataset, options: OptimizationConfig, workers: int, step: int
) -> Iterator[Example]:
    """Endless batches; their order depends on seed and epoch only, so any step can be taken up."""
    per_epoch = len(dataset) // options.batch_size
    if not per_epoch:
        raise ConfigError(
            f"{len(dataset)} examples are fewer than a batch of {options.batch_size}"
        )
    while True:
        epoch, offset = divmod(step, per_epoch)
        dataset.set_epoch(epoch)
        order = np.random.default_rng([options.seed, epoch]).permutation(len(dataset))
        rows = order[: per_epoch * options.batch_size].reshape(per_epoch, -1)[offset:]
        loader: DataLoader[Example] = DataLoader(
            dataset, batch_sampler=rows.tolist(), num_workers=workers
        )
        for batch in loader:
            step += 1
            yield batch


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    theirs = dict(model.state_dict())
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(theirs[name], 1 - decay)
        else:
            value.copy_(theirs[name])


def _resumable(config: TrainingConfig) -> dict[str, Any]:
    """The configuration as far as it decides the weights, in plain types."""
    content: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    del content["name"], content["output"], content["data"]["root"], content["data"]["workers"]
    del content["optimization"]["eval_every"], content["optimization"]["checkpoint_every"]
    return content


def _log(folder: Path, row: dict[str, Any]) -> None:
    with (folder / LOG_FILE).open("a") as file:
        file.write(json.dumps(row) + "\n")
