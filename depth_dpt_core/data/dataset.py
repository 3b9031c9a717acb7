# SPDX-License-Identifier: Apache-2.0
"""Frames in the Cityscapes layout as training examples at the canonical focal length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from depth_dpt_core.data.augmentation import augment_colors
from depth_dpt_core.data.cityscapes import CityscapesFrame, find_samples, read_frame
from depth_dpt_core.preprocess import Geometry
from depth_dpt_core.training.config import AugmentationConfig, DataConfig


class Example(TypedDict):
    """One training example; depth in metres at the canonical focal length.

    `image` [3,H,W] uint8; `depth` [1,H,W] float32 with 0 where unknown; `far` [1,H,W] bool, true
    where the depth is known to lie beyond the range.
    """

    image: Tensor
    depth: Tensor
    far: Tensor


@dataclass(frozen=True)
class _Crop:
    """A part of a frame: left, top, width, height in pixels, and whether it is mirrored."""

    x: int
    y: int
    width: int
    height: int
    flip: bool


class DepthDataset(Dataset[Example]):
    """A split of a data set; `augmentation` None gives whole frames, unchanged in colour.

    What an example looks like depends on seed, epoch and index only. Call `set_epoch` before
    each epoch.
    """

    def __init__(
        self,
        split: str,
        config: DataConfig,
        size: tuple[int, int],
        augmentation: AugmentationConfig | None,
        seed: int = 0,
    ) -> None:
        """List the frames; `size` is the network's (height, width)."""
        self._samples = find_samples(Path(config.root), split)
        self._config = config
        self._size = size
        self._augmentation = augmentation
        self._seed = seed
        # shared, so that persistent workers see it too
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Choose the augmentations of an epoch."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        frame = read_frame(self._samples[index])
        rng = np.random.default_rng([self._seed, int(self._epoch), index])
        height, width = frame.depth.shape
        crop = _Crop(0, 0, width, height, flip=False)
        if self._augmentation is not None:
            crop = _draw_crop(rng, self._augmentation, width, height, self._size)
        image, depth, far = self._at_network(frame, crop)
        if self._augmentation is not None:
            image = augment_colors(image, rng, self._augmentation)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "depth": torch.from_numpy(depth[None]),
            "far": torch.from_numpy(far[None]),
        }

    def _at_network(
        self, frame: CityscapesFrame, crop: _Crop
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
        """Cut out, mirror, and bring to network size with labels at the canonical focal length."""
        rows, columns = slice(crop.y, crop.y + crop.height), slice(crop.x, crop.x + crop.width)
        order = slice(None, None, -1 if crop.flip else 1)
        image, depth, sky = (
            array[rows, columns][:, order] for array in (frame.image, frame.depth, frame.sky)
        )
        geometry = Geometry.fit((crop.width, crop.height), (self._size[1], self._size[0]))
        focal = frame.intrinsics.fx * geometry.scale
        known = np.nan_to_num(depth * (self._config.canonical_focal_length / focal))
        out = np.zeros(self._size, np.float32)
        far = np.zeros(self._size, np.bool_)
        content = geometry.content_slices
        resized = (geometry.content_width, geometry.content_height)
        labels = cv2.resize(known, resized, interpolation=cv2.INTER_NEAREST_EXACT)
        above = cv2.resize(sky.astype(np.uint8), resized, interpolation=cv2.INTER_NEAREST_EXACT)
        inside = (labels > self._config.min_depth) & (labels < self._config.max_depth)
        # stereo matching finds something in the sky too: never a label
        out[content] = np.where(inside & (above == 0), labels, 0)
        far[content] = (above > 0) | (labels >= self._config.max_depth)
        return geometry.to_network(np.ascontiguousarray(image)), out, far


def _draw_crop(
    rng: np.random.Generator,
    augmentation: AugmentationConfig,
    width: int,
    height: int,
    size: tuple[int, int],
) -> _Crop:
    aspect = size[1] / size[0]
    if rng.random() < augmentation.letterbox:
        aspect = float(np.exp(rng.uniform(*np.log(augmentation.aspect))))
    zoom = float(np.exp(rng.uniform(*np.log(augmentation.zoom))))
    fitting = min(width, height * aspect) / zoom
    wide, tall = int(fitting), int(fitting / aspect)
    return _Crop(
        int(rng.integers(0, width - wide + 1)),
        int(rng.integers(0, height - tall + 1)),
        wide,
        tall,
        flip=bool(rng.random() < augmentation.flip),
    )
