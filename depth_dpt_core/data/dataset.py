# SPDX-License-Identifier: Apache-2.0
"""Processed frames as training examples at the canonical focal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from depth_dpt_core.camera import focal_correction
from depth_dpt_core.config import TrainingConfig
from depth_dpt_core.data.augmentation import Focal, network_transform
from depth_dpt_core.data.cityscapes import DataError
from depth_dpt_core.data.processed import ProcessedDataset, decode_depth, read_processed


class Example(TypedDict):
    """One training example; depths in metres at the canonical focal length.

    `image` [3,H,W] uint8; `depth` [1,H,W] float32 with 0 where unknown; `farther_than` [1,H,W]
    float32: a lower bound where that is all that is known (sky, far hills), else 0; `scale`
    float32: true metres of one canonical metre.
    """

    image: Tensor
    depth: Tensor
    farther_than: Tensor
    scale: Tensor


class DepthDataset(Dataset[Example]):
    """A split of a processed data set, augmented or as it is.

    What an example looks like depends on seed, epoch and index only. Call `set_epoch` before
    each epoch.
    """

    def __init__(
        self, source: ProcessedDataset, split: str, config: TrainingConfig, *, augment: bool
    ) -> None:
        self._samples = source.frames(split)
        self._metric_range = source.settings["max_depth"]
        self._labels = config.labels
        self._max_depth = config.data.max_depth
        self._seed = config.optimization.seed
        self._epoch = 0
        self._transform = network_transform(
            (config.model.height, config.model.width),
            stretch=config.labels.aspect == "stretch",
            augmentation=config.augmentation if augment else None,
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the augmentations of an epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        frame = read_processed(self._samples[index])
        labels = np.stack(decode_depth(frame.code, self._metric_range))
        made = {
            "image": tv_tensors.Image(torch.from_numpy(frame.image).permute(2, 0, 1)),
            "labels": tv_tensors.Mask(torch.from_numpy(labels)),
            "focal": Focal([frame.intrinsics.fx, frame.intrinsics.fy]),
        }
        with torch.random.fork_rng(devices=[]):
            # the CPU's generator alone: transforms draw from no other
            torch.default_generator.manual_seed(_mix(self._seed, self._epoch, index))
            made = self._transform(made)
        scale = self._scale(*made["focal"].tolist())
        depth, bound = made["labels"].as_subclass(Tensor) / scale
        known = (depth > self._labels.min_depth) & (depth < self._max_depth)
        # what lies beyond the network's own range is known to be far, too
        bound = torch.where(depth >= self._max_depth, depth, bound).clamp(max=self._max_depth)
        return {
            "image": made["image"].as_subclass(Tensor).contiguous(),
            "depth": torch.where(known, depth, 0.0)[None],
            "farther_than": bound[None],
            "scale": torch.tensor(scale),
        }

    def _scale(self, fx: float, fy: float) -> float:
        canonical = self._labels.canonical_focal_length
        if canonical is None:
            return 1.0
        stretched = self._labels.aspect == "stretch"
        return focal_correction(fx, fy, canonical, canonical, stretched=stretched)


def batches_of(loader: Iterable[Example]) -> Iterator[Example]:
    """What a loader gives; broken frames are one line also where worker processes found them.

    Raises:
        DataError: a frame is missing or broken.
    """
    try:
        yield from loader
    except DataError as error:  # a worker's message ends with its traceback
        raise DataError(str(error).rstrip().rpartition("DataError: ")[2]) from error


def _mix(*numbers: int) -> int:
    """One seed from several, such that neighbours have nothing in common."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
