# SPDX-License-Identifier: Apache-2.0
"""From an image and its camera to metric depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.artifact import Artifact, ArtifactError, ModelSpec, NoMetresError, resolve
from depth_dpt_core.camera import Intrinsics, focal_correction
from depth_dpt_core.engines import Engine
from depth_dpt_core.engines.choice import Runtime, choose_engine
from depth_dpt_core.network_io import to_depth, to_nearness, to_tensor
from depth_dpt_core.preprocess import Geometry

_STRIPE = 1 << 17  # pixels worked on at a time, so that the steps meet them in the cache


@dataclass(frozen=True)
class DepthEstimator:
    """Metric depth of images of any size: preprocessing, engine, metric scale, and back.

    Owned by one thread, as its engine is. A relative model (`relative` is True) has no metres to
    give: `__call__` and `metric_depth` refuse, `nearness` says what is near and what is far, and
    `with_scale` makes it metric.

    A node with a relative model publishes, until its parameter `depth_scale` is set (is not 1):

    - `depth/relative/image`: nearness as mono8, 0 unknown, 1 far to 255 near, each image for
      itself. Not 32FC1 or 16UC1, which REP 118 makes metres and millimetres, and not mono16, which
      depth_image_proc takes for millimetres: every reader of depth refuses mono8, and rviz2 and
      rqt show it. `image_codec.nearness_to_image` makes it.
    - `depth/color/image`: nearness in colours, `colorize.colorize_nearness`.
    - nothing on `depth/image`, `depth/camera_info` and `depth/points`, and a WARN in
      `/diagnostics` that says how to come by metres: `depth_scale`, or scale and shift in the
      model's description, which is then no longer `relative`.

    With `depth_scale` set, `with_scale(depth_scale)` answers as any metric model does.
    """

    spec: ModelSpec
    engine: Engine

    @classmethod
    def load(
        cls,
        model: str | Artifact,
        *,
        num_threads: int = 0,
        runtime: Runtime = "onnxruntime",
    ) -> DepthEstimator:
        """Load a model (see `artifact.resolve`) on a runtime (see `choice.choose_engine`).

        Raises:
            ArtifactError: the model cannot be found or used, or is relative.
            NoRuntimeError: the runtime that was asked for does not run it.
        """
        artifact = resolve(model) if isinstance(model, str) else model
        if artifact.spec.output.relative:
            raise NoMetresError(str(artifact.path))
        engine = choose_engine(artifact, runtime, num_threads=num_threads)
        return cls(artifact.spec, engine)

    @property
    def relative(self) -> bool:
        """Whether answers are not metres, and only `nearness` can be had of them."""
        return self.spec.output.relative

    def with_scale(self, scale: float) -> DepthEstimator:
        """This model, its depth multiplied by `scale` and taken as metres; on the same engine."""
        output = self.spec.output
        factor = scale if output.quantity == "depth" else 1 / scale
        output = replace(
            output, scale=output.scale * factor, shift=output.shift * factor, relative=False
        )
        low, high = self.spec.min_depth * scale, self.spec.max_depth * scale
        spec = replace(self.spec, output=output, min_depth=low, max_depth=high)
        return replace(self, spec=spec)

    def warm_up(self) -> None:
        """Run once on nothing, so that the first image is answered as fast as any other.

        Raises:
            ArtifactError: the network answers in another size than its description says, which
                a file that leaves sizes open does not tell before it runs.
        """
        width, height = self.spec.width, self.spec.height
        answer = self.engine.infer(
            to_tensor(np.zeros((height, width, 3), np.uint8), self.spec.input)
        )
        if answer.size != width * height:
            raise ArtifactError(
                f"the network answers {list(answer.shape)} to an image of {width}x{height}, where "
                "its description promises one depth for each pixel"
            )

    def __call__(
        self,
        image: NDArray[np.uint8],
        intrinsics: Intrinsics | None,
        *,
        at_network_size: bool = False,
        depth_scale: float = 1.0,
        max_depth: float = math.inf,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Estimate depth.

        Args:
            image: [H,W,3] RGB uint8, rectified.
            intrinsics: the image's camera; None takes the camera that the model was trained for.
            at_network_size: answer at the network's resolution (the content region [h,w], see
                `Geometry`) instead of the image's.
            depth_scale: factor on all depth, beside that of the focal length.
            max_depth: metres beyond which depth is not wanted.
            out: where to write, else fresh memory.

        Returns:
            [H,W] metres along the camera's z axis; NaN outside the model's range and beyond
            max_depth.

        Raises:
            ValueError: the image is not [H,W,3] uint8.
        """
        (answer,) = self.infer([self.prepare(image)])
        geometry = self.geometry(image.shape[1], image.shape[0])
        return self.metric_depth(
            answer,
            geometry,
            intrinsics,
            at_network_size=at_network_size,
            depth_scale=depth_scale,
            max_depth=max_depth,
            out=out,
        )

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """What the engine gets of an image [H,W,3]; like `metric_depth`, for any thread.

        Raises:
            ValueError: the image is not [H,W,3] uint8.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be [H,W,3] uint8, got {image.shape} {image.dtype}")
        geometry = self.geometry(image.shape[1], image.shape[0])
        return to_tensor(geometry.to_network(image), self.spec.input)

    def infer(
        self, inputs: Sequence[NDArray[np.uint8] | NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """The engine's answers [N,H,W] to 1 to `engine.batch` images, each from `prepare`."""
        tensor: NDArray[Any] = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        return self.engine.infer(tensor).reshape(len(inputs), self.spec.height, self.spec.width)

    def metric_depth(
        self,
        answer: NDArray[np.float32],
        geometry: Geometry,
        intrinsics: Intrinsics | None,
        *,
        at_network_size: bool = False,
        depth_scale: float = 1.0,
        max_depth: float = math.inf,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """What `__call__` answers, from what the engine does to an image of this geometry."""
        if self.relative:
            raise NoMetresError("the model")
        answer = answer.reshape(self.spec.height, self.spec.width)
        scale = np.float32(self.metric_scale(geometry, intrinsics) * depth_scale)
        # scaled while it is small, as its range is: rounding cannot push an answer at the end over
        small = np.asarray(to_depth(answer, self.spec.output) * scale, np.float32)
        low = np.float32(self.spec.min_depth) * scale
        high = min(np.float32(self.spec.max_depth) * scale, np.float32(max_depth))
        content = geometry.crop(small)
        if not at_network_size:
            depth = geometry.enlarge(content, out)
        elif out is None:
            depth = content.copy()
        else:
            depth = out
            depth[:] = content
        _forget(depth, content, np.less, low)
        _forget(depth, content, np.greater, high)
        return depth

    def nearness(
        self, answer: NDArray[np.float32], geometry: Geometry, *, at_network_size: bool = False
    ) -> NDArray[np.float32]:
        """What is near and what is far, from what the engine does to an image of this geometry.

        Returns:
            [H,W] (the content region [h,w] at network size) from 0, the farthest, to 1, the
            nearest of this image: linear in what the model answers, between the 2nd and the 98th
            percentile. NaN where the answer is not finite; 0 where all is equally far.
        """
        answer = answer.reshape(self.spec.height, self.spec.width)
        near = to_nearness(geometry.crop(answer), self.spec.output)
        return near if at_network_size else geometry.enlarge(near)

    def geometry(self, width: int, height: int) -> Geometry:
        """How an image of this size lies in the network's input."""
        return Geometry.fit(
            (width, height),
            (self.spec.width, self.spec.height),
            stretch=self.spec.aspect == "stretch",
        )

    def metric_scale(self, geometry: Geometry, intrinsics: Intrinsics | None) -> float:
        """Factor from the network's answer to metres for this camera; 1 where it is unknown."""
        fx, fy = self.spec.canonical_focal_length, self.spec.canonical_fy
        if intrinsics is None or fx is None or fy is None:
            return 1.0
        if self.spec.aspect == "stretch":
            return focal_correction(
                intrinsics.fx * geometry.scale_x, intrinsics.fy * geometry.scale_y, fx, fy,
                stretched=True,
            )  # fmt: skip
        r = geometry.scale
        return focal_correction(intrinsics.fx * r, intrinsics.fy * r, fx, fy, stretched=False)


def _forget(
    depth: NDArray[np.float32], content: NDArray[np.float32], is_beyond: np.ufunc, end: np.float32
) -> None:
    """Make what is beyond an end of the range NaN in depth [H,W], to which content was resized."""
    rows = np.flatnonzero(is_beyond(content, end).any(axis=1))
    if not rows.size:
        return  # depth lies between that of the content about it
    growth = len(depth) / len(content)
    first, last = max(0, int((rows[0] - 1) * growth)), math.ceil((rows[-1] + 2) * growth)
    step = max(1, _STRIPE // depth.shape[1])
    unknown = np.full((step, depth.shape[1]), np.nan, np.float32)
    for top in range(first, min(last, len(depth)), step):
        part = depth[top : min(top + step, last)]
        cv2.copyTo(unknown[: len(part)], is_beyond(part, end).view(np.uint8), part)
