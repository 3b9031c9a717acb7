# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: on the CPU, or CUDA where that provider is installed."""

from __future__ import annotations

import logging

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from depth_dpt_core.artifact import LOAD_ERRORS, Artifact, ArtifactError
from depth_dpt_core.engines.faults import GpuFault

_log = logging.getLogger(__name__)


class OnnxRuntimeEngine:
    """An `Engine` on ONNX Runtime.

    On the CPU it is concurrent; one thread owns what is of CUDA. Its batch is what the file says,
    one where that is left open.
    """

    def __init__(
        self, artifact: Artifact, *, num_threads: int = 0, cpu_only: bool = False
    ) -> None:
        """Load the model.

        Args:
            artifact: the model file.
            num_threads: CPU threads of one inference; 0 takes all cores.
            cpu_only: leave a GPU alone even where there is one.

        Raises:
            ArtifactError: the file's input or output is not what its description says.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        # threads that spin between frames starve the camera driver and the middleware
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        wanted = [*([] if cpu_only else ["CUDAExecutionProvider"]), "CPUExecutionProvider"]
        available = [p for p in wanted if p in onnxruntime.get_available_providers()]
        try:
            self._session = onnxruntime.InferenceSession(
                str(artifact.path), options, providers=available
            )
        except LOAD_ERRORS as error:
            raise ArtifactError(f"{artifact.path}: ONNX Runtime refuses it ({error})") from error
        used = self._session.get_providers()[0]
        if used != available[0]:
            _log.warning("%s is installed but unusable, running on %s", available[0], used)
        self.concurrent: bool = used == "CPUExecutionProvider"
        self.name = f"onnxruntime ({used.removesuffix('ExecutionProvider')})"
        self._check_interface(artifact)
        self._input = artifact.spec.input.name
        self._output = artifact.spec.output.name

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch; see `Engine.infer`."""
        count = len(tensor)
        missing = (self._fixed_batch or count) - count
        if missing:
            rest = np.zeros((missing, *tensor.shape[1:]), tensor.dtype)
            tensor = np.concatenate([tensor, rest])
        try:
            (answer,) = self._session.run([self._output], {self._input: tensor})
        except LOAD_ERRORS as error:
            if self.concurrent:
                raise
            raise GpuFault(f"ONNX Runtime failed on the GPU ({error})") from error
        return np.asarray(answer[:count], np.float32)

    def _check_interface(self, artifact: Artifact) -> None:
        spec, source = artifact.spec, artifact.path
        inputs = {item.name: item for item in self._session.get_inputs()}
        outputs = {item.name: item for item in self._session.get_outputs()}
        for kind, name, there in (
            ("input", spec.input.name, set(inputs)),
            ("output", spec.output.name, set(outputs)),
        ):
            if name not in there:
                raise ArtifactError(
                    f"{source}: has no {kind} {name!r}, its description names it; "
                    f"the file has {', '.join(sorted(there))}"
                )
        declared = inputs[spec.input.name]
        expected = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[spec.input.dtype]
        size = [spec.height, spec.width]
        sides = [*size, 3] if spec.input.layout == "NHWC" else [3, *size]
        shape = declared.shape
        if declared.type != expected or len(shape) != 4 or not _fits(shape[1:], sides):
            raise ArtifactError(
                f"{source}: input {declared.name!r} is {declared.type} {shape}, its description "
                f"says {spec.input.dtype} {spec.input.layout} {spec.width}x{spec.height}"
            )
        self._fixed_batch: int | None = shape[0] if isinstance(shape[0], int) else None
        self.batch = self._fixed_batch or 1
        answer = outputs[spec.output.name].shape
        if answer and (len(answer) not in (3, 4) or not _fits(answer[-2:], size)):
            raise ArtifactError(
                f"{source}: output {spec.output.name!r} is {answer}, its description says one "
                f"depth for each pixel of {spec.width}x{spec.height}"
            )


def _fits(declared: list[int | str | None], wanted: list[int]) -> bool:
    """Whether each side is as wanted or left open."""
    return all(s == n for s, n in zip(declared, wanted, strict=True) if isinstance(s, int))
