# SPDX-License-Identifier: Apache-2.0
"""The training loop: read it from top to bottom."""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from depth_dpt_core.config import ConfigError, OptimizationConfig, TrainingConfig
from depth_dpt_core.data.dataset import DepthDataset, Example, batches_of
from depth_dpt_core.data.processed import ProcessedDataset
from depth_dpt_core.files import remove_abandoned
from depth_dpt_core.interruption import ignore_interrupts, interruption
from depth_dpt_core.locking import only_one_at
from depth_dpt_core.metrics import is_better
from depth_dpt_core.model.checkpoint import (
    CheckpointError,
    TrainingRecord,
    copy_weights,
    load_model,
    read_record,
    save_model,
)
from depth_dpt_core.model.dpt import DPT
from depth_dpt_core.revision import source_revision, training_code
from depth_dpt_core.training.losses import training_loss
from depth_dpt_core.training.optimizer import (
    learning_rates,
    parameter_groups,
    set_learning_rates,
    update_average,
)
from depth_dpt_core.training.run_state import (
    BEST_FILE,
    STATE_FILE,
    Progress,
    read_state,
    run_folder,
    write_state,
)
from depth_dpt_core.training.tracking import TrackedRun
from depth_dpt_core.training.validation import sample_pictures, validate

_WRITING = 60.0  # s that another run may take to write its candidate
_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def train(config: TrainingConfig, *, resume: bool = False) -> Path:
    """Train a model; returns the file of its best weights, `OUTPUT/candidate.safetensors`.

    That file appears when the run is finished. Until then everything lies in a working folder of
    the run's own under `OUTPUT/runs`; an interrupted run goes on with `resume`. Several
    processes, started by torchrun or `accelerate launch`, share the work.

    Raises:
        BusyError: another process is at this run.
        ConfigError: there is an interrupted run and `resume` was not given, or the settings do
            not suit the data.
        DataError: the data cannot be used.
        TrackingError: MLflow cannot be reached.
    """
    source = ProcessedDataset.open(Path(config.data.processed))
    for name, value in config.data.settings().items():
        made_with = source.settings.get(name)
        if made_with != value:
            raise ConfigError(
                f"{config.data.processed} was made with data.{name} {made_with}, the "
                f"configuration says {value}: run depth-dpt preprocess"
            )
    for split in ("train", "val"):
        if not source.frames(split):
            raise ConfigError(f"{config.data.processed}: split {split} has no frames")
    folder = run_folder(config, source.fingerprint)
    if resume and not (folder / STATE_FILE).exists() and _is_finished(config, source):
        print(f"{config.candidate}: this run is finished already", flush=True)
        return config.candidate
    accelerator = Accelerator(
        mixed_precision=_PRECISION[config.optimization.precision],
        gradient_accumulation_steps=config.optimization.accumulate,
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, data_seed=config.optimization.seed
        ),
        cpu=not torch.cuda.is_available(),
    )
    with _held(accelerator, folder), interruption() as interrupted:
        run = _Run(accelerator, config, source, folder, resume=resume)
        try:
            run.begin()
            run.fit(interrupted)
            run.finish()
        except KeyboardInterrupt:
            run.end_tracking("KILLED")
            raise
        except Exception:
            run.end_tracking("FAILED")
            raise
    return config.candidate


class _Run:
    """Everything that one training run holds."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: TrainingConfig,
        source: ProcessedDataset,
        folder: Path,
        *,
        resume: bool,
    ) -> None:
        options = config.optimization
        self.accelerator, self.config, self.source, self.folder = (
            accelerator, config, source, folder,
        )  # fmt: skip
        self.revision = source_revision()
        state_path = folder / STATE_FILE
        going_on = state_path.exists()
        if len(set(gather_object([going_on]))) > 1:
            raise ConfigError(f"{folder} must be on a disk that all machines of a run share")
        if going_on and not resume:
            raise ConfigError(
                f"{folder} holds this run, interrupted: go on with --resume, or remove it"
            )
        if resume and not going_on:
            accelerator.print("nothing to resume: a new run begins")

        torch.manual_seed(options.seed)
        begun = going_on or bool(options.start_from)
        model = DPT(config.model, pretrained=options.pretrained and not begun)
        if options.start_from and not going_on:
            copy_weights(Path(options.start_from), model, config.labels.canonical_focal_length)
        model = model.to(memory_format=torch.channels_last)
        average = copy.deepcopy(model).eval().requires_grad_(False)
        self.average = average.to(accelerator.device)
        optimizer = torch.optim.AdamW(parameter_groups(model, options), betas=(0.9, 0.99))
        self.model: nn.Module
        self.examples = DepthDataset(source, "val", config, augment=False)
        if not any((example["depth"] > 0).any() for example in self.examples):
            raise ConfigError(
                f"{config.data.processed}: no image of split val has depth between "
                f"labels.min_depth and data.max_depth at the canonical focal length"
            )
        self.training = DepthDataset(source, "train", config, augment=True)
        self.model, self.optimizer, self.batches, self.validation = accelerator.prepare(
            model,
            optimizer,
            _loader(self.training, options, shuffle=True),
            _loader(self.examples, options, shuffle=False),
        )
        if not len(self.batches):
            raise ConfigError(
                f"{len(self.training)} training frames are fewer than "
                f"a batch of {options.batch_size} "
                f"for each of {accelerator.num_processes} processes"
            )
        self.total_steps = options.epochs * math.ceil(len(self.batches) / options.accumulate)
        self.progress = Progress(processes=accelerator.num_processes)
        self.images_per_s = math.nan  # of this process's part of the epoch
        if going_on:
            self._restore(state_path)
        self.tracked: TrackedRun | None = None  # on the main process alone

    def begin(self) -> None:
        """Open the MLflow run, or the one that is gone on with."""
        if not self.accelerator.is_main_process:
            return
        for name in (STATE_FILE, BEST_FILE):
            remove_abandoned(self.folder / name)
        self.tracked = self._track()
        self._save()  # from here on the MLflow run can be found again

    def fit(self, interrupted: Event) -> None:
        """Train, validate and keep the best, epoch after epoch."""
        options, progress = self.config.optimization, self.progress
        bar = tqdm(
            total=self.total_steps,
            initial=progress.step,
            unit="step",
            disable=not self.accelerator.is_main_process,
        )
        with bar:
            while progress.epoch < options.epochs and progress.stale_epochs < options.patience:
                self._train_epoch(bar, interrupted)
                self._validate_epoch()

    def _train_epoch(self, bar: tqdm[Any], interrupted: Event) -> None:
        options, progress, accelerator = self.config.optimization, self.progress, self.accelerator
        bar.set_description(f"epoch {progress.epoch + 1}/{options.epochs}")
        started, begun_at = time.monotonic(), progress.batches
        self.model.train()
        for batch in batches_of(self._remaining_batches()):
            set_learning_rates(self.optimizer, options, progress.step, self.total_steps)
            with accelerator.accumulate(self.model):
                losses = self._forward(batch)
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(self.model.parameters(), options.clip_norm)
                    self._check_finite(losses["loss"], norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            progress.batches += 1
            values = dict(zip(losses, torch.stack([*losses.values()]).tolist(), strict=True))
            for name, value in values.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            if not accelerator.sync_gradients:
                continue
            progress.step += 1
            update_average(
                self.average,
                accelerator.unwrap_model(self.model),
                options.ema_decay,
                progress.step,
            )
            images = (progress.batches - begun_at) * options.batch_size * accelerator.num_processes
            self.images_per_s = images / (time.monotonic() - started)
            bar.set_postfix(
                loss=f"{values['loss']:.4f}",
                images_per_s=f"{self.images_per_s:.1f}",
                refresh=False,
            )
            bar.update()
            if interrupted.is_set():
                accelerator.set_trigger()
            ending = accelerator.check_trigger()  # all processes at the same step
            if ending or progress.step % options.checkpoint_every == 0:
                self._save()
            if ending:
                raise KeyboardInterrupt

    def _remaining_batches(self) -> Iterable[Example]:
        """The rest of the present epoch."""
        self.batches.set_epoch(self.progress.epoch)
        self.training.set_epoch(self.progress.epoch)  # accelerate forgets it where it shards
        done = self.progress.batches
        if done == len(self.batches):  # the run was saved between training and validation
            return []
        if done == 0:
            every: DataLoader[Example] = self.batches
            return every
        rest: DataLoader[Example] = self.accelerator.skip_first_batches(self.batches, done)
        return rest

    def _forward(self, batch: Example) -> dict[str, Tensor]:
        image = batch["image"].contiguous(memory_format=torch.channels_last).float() / 255
        depth, truth = self.model(image), batch["depth"]
        losses = training_loss(depth, truth, batch["farther_than"], self.config.loss)
        known = truth > 0
        error = torch.where(known, (depth - truth).abs() / truth.clamp(min=1e-6), 0.0).detach()
        return {**losses, "abs_rel": error.sum() / known.sum().clamp(min=1)}

    def _check_finite(self, loss: Tensor, norm: Tensor) -> None:
        """Stop a run that has diverged; gradients of scaled float16 may overflow now and then."""
        scaled = self.config.optimization.precision == "fp16"
        if not math.isfinite(loss.item() if scaled else float(norm)):
            raise RuntimeError(
                f"step {self.progress.step}: loss {loss.item()}, gradient {float(norm)}: "
                "training has diverged, lower the learning rates"
            )

    def _validate_epoch(self) -> None:
        config, progress = self.config, self.progress
        for buffer in self.average.buffers():  # normalisation statistics differ among processes
            broadcast(buffer)
        metrics = validate(self.average, self.validation, config, self.accelerator)
        logged = {f"train_{name}": v / progress.batches for name, v in progress.sums.items()}
        logged |= learning_rates(config.optimization, progress.step - 1, self.total_steps)
        logged |= {f"val_{name}": value for name, value in metrics.items()}
        if math.isfinite(self.images_per_s):
            logged["images_per_s"] = self.images_per_s
        progress.epoch, progress.batches, progress.sums = progress.epoch + 1, 0, {}
        value = metrics[config.optimization.metric]
        improved = is_better(config.optimization.metric, value, progress.best)
        if improved:
            progress.best, progress.best_epoch = value, progress.epoch
            progress.validation, progress.stale_epochs = metrics, 0
        else:
            progress.stale_epochs += 1
        if self.tracked is None:
            return
        if improved:
            save_model(self.folder / BEST_FILE, self.average, self._record())
        self.tracked.log(logged, progress.epoch)
        pictures = sample_pictures(self.average, self.examples, config, self.accelerator.device)
        for index, picture in enumerate(pictures):
            self.tracked.log_picture(f"val_{index}", picture, progress.epoch)
        tqdm.write(
            f"epoch {progress.epoch}: val {config.optimization.metric} {value:.4f}"
            + (" (best)" if improved else f", best {progress.best:.4f}")
        )
        self._save()

    def finish(self) -> None:
        """Register the best weights, publish them as the candidate, and clear up."""
        self.accelerator.wait_for_everyone()
        if self.tracked is None:
            return
        best = self.folder / BEST_FILE
        version = self.tracked.register(best)
        model, record = load_model(best)
        with only_one_at(self.config.candidate, wait=_WRITING):
            save_model(self.config.candidate, model, record)
        self.tracked.end("FINISHED")
        (self.folder / STATE_FILE).unlink()  # first: without it there is nothing to resume
        shutil.rmtree(self.folder)
        print(f"best: epoch {record.epoch}; registered as {self.config.name} version {version}")
        print(f"wrote {self.config.candidate}")

    def end_tracking(self, status: str) -> None:
        """Close the MLflow run before its time."""
        if self.tracked is not None:
            self.tracked.end(status)

    # state

    def _record(self) -> TrainingRecord:
        return TrainingRecord(
            name=self.config.name,
            recipe=self.config.recipe(),
            epoch=self.progress.best_epoch,
            validation=self.progress.validation,
            run_id=self.progress.run_id,
            source_revision=self.revision,
            training_code=training_code(),
            data_fingerprint=self.source.fingerprint,
        )

    def _track(self) -> TrackedRun:
        if self.progress.run_id:
            return TrackedRun.go_on(self.config, self.progress.run_id)
        tracked = TrackedRun.begin(
            self.config, fingerprint=self.source.fingerprint, revision=self.revision
        )
        self.progress.run_id = tracked.run_id
        return tracked

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        parts = {
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.accelerator.scaler is not None:
            parts["scaler"] = self.accelerator.scaler.state_dict()
        write_state(self.folder / STATE_FILE, self.progress, parts)

    def _restore(self, path: Path) -> None:
        self.progress, parts = read_state(path)
        if self.progress.processes != self.accelerator.num_processes:
            raise ConfigError(
                f"{path} is of a run of {self.progress.processes} processes, "
                f"not {self.accelerator.num_processes}: resume it with as many"
            )
        self.accelerator.unwrap_model(self.model).load_state_dict(parts["model"])
        self.average.load_state_dict(parts["average"])
        self.optimizer.load_state_dict(parts["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(parts["scaler"])
        self.accelerator.print(
            f"{self.folder}: going on after step {self.progress.step}, "
            f"in epoch {self.progress.epoch + 1}"
        )


def _loader(
    dataset: DepthDataset, options: OptimizationConfig, *, shuffle: bool
) -> DataLoader[Example]:
    return DataLoader(
        dataset,
        batch_size=options.batch_size,
        shuffle=shuffle,
        drop_last=shuffle,
        num_workers=options.workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=ignore_interrupts,
    )


def _held(accelerator: Accelerator, folder: Path) -> AbstractContextManager[None]:
    """Hold the working folder for all processes of this run."""
    return only_one_at(folder) if accelerator.is_main_process else nullcontext()


def _is_finished(config: TrainingConfig, source: ProcessedDataset) -> bool:
    try:
        record = read_record(config.candidate)
    except CheckpointError:
        return False
    return (record.name, record.recipe, record.data_fingerprint, record.training_code) == (
        config.name, config.recipe(), source.fingerprint, training_code(),
    )  # fmt: skip
