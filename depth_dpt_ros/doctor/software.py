# SPDX-License-Identifier: Apache-2.0
"""Python and the packages that the node and the core import."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from depth_dpt_ros.doctor.finding import Finding, note, ok, problem

_TIMEOUT = 60  # s
# what is asked of each package once it is imported
_QUESTIONS = {
    "numpy": "numpy.__version__",
    "cv2": "cv2.__version__",
    "yaml": "yaml.__version__",
    "onnxruntime": "[onnxruntime.__version__, onnxruntime.get_available_providers()]",
    "cv_bridge.boost.cv_bridge_boost": "''",
    "rclpy": "rclpy.get_rmw_implementation_identifier()",
    "sensor_msgs.msg": "''",
    "lifecycle_msgs.srv": "''",
    "diagnostic_msgs.msg": "''",
    "tensorrt": "tensorrt.__version__",
    "pycuda.driver": "'.'.join(map(str, pycuda.driver.get_version()))",
    "filelock": "filelock.__version__",
}
_NEEDED = ("numpy", "cv2", "yaml", "onnxruntime")
CV_BRIDGE = "cv_bridge.boost.cv_bridge_boost"


@dataclass(frozen=True)
class Answer:
    """What a package said, or why it could not be imported."""

    value: Any = None
    error: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is no such package, rather than a broken one."""
        return self.error.startswith("ModuleNotFoundError")


@dataclass(frozen=True)
class Software:
    """Python and its packages: answers by module, versions by distribution."""

    python: str
    executable: str
    answers: dict[str, Answer]
    distributions: dict[str, str]


def gather() -> Software:
    """Import each package in a process of its own: a broken one can take the process along."""
    with ThreadPoolExecutor(4) as pool:
        answers = dict(
            zip(_QUESTIONS, pool.map(ask, _QUESTIONS, _QUESTIONS.values()), strict=True)
        )
    distributions = {
        str(found.metadata["Name"]).lower().replace("_", "-"): found.version
        for found in metadata.distributions()
        if found.metadata["Name"]
    }
    kept = ("opencv-", "onnxruntime", "cv-bridge")
    return Software(
        platform.python_version(),
        sys.executable,
        answers,
        {name: distributions[name] for name in sorted(distributions) if name.startswith(kept)},
    )


def ask(module: str, question: str) -> Answer:
    """Import a module elsewhere and evaluate an expression about it."""
    program = f"import json, {module}; print(json.dumps({question}))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(error=f"importing it takes more than {_TIMEOUT} s")
    if done.returncode == 0:
        return Answer(json.loads(done.stdout.splitlines()[-1]))
    said = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
    return Answer(error=said[-1])


def findings(software: Software) -> list[Finding]:
    """What is wrong with Python and the packages."""
    answers, distributions = software.answers, software.distributions
    found = [_needed(name, answers[name], software.executable) for name in _NEEDED]
    return [
        ok(f"Python {software.python} ({software.executable})"),
        *found,
        *_doubles(distributions),
        *_cv_bridge(software),
    ]


def _needed(module: str, answer: Answer, python: str) -> Finding:
    names = {"cv2": "OpenCV", "yaml": "PyYAML", "onnxruntime": "ONNX Runtime"}
    name = names.get(module, module)
    if not answer.error:
        value = answer.value[0] if isinstance(answer.value, list) else answer.value
        return ok(f"{name} {value}")
    if answer.missing:
        packages = {"cv2": "opencv-python-headless<5", "yaml": "PyYAML"}
        return problem(
            f"{name} is not installed; nothing runs without it ({answer.error})",
            f"pip install '{packages.get(module, module)}'",
        )
    text = f"{name} is installed but cannot be imported ({answer.error})"
    if "numpy" in answer.error.lower() or "_ARRAY_API" in answer.error:
        return problem(f"{text}: it was built for another numpy", "pip install 'numpy<2'")
    return problem(text, f"install {name} anew for {python}")


def _doubles(distributions: dict[str, str]) -> list[Finding]:
    """Wheels that bring the same module overwrite each other's files."""
    groups = {
        "cv2": [name for name in distributions if name.startswith("opencv-")],
        "onnxruntime": [
            name for name in distributions if name in ("onnxruntime", "onnxruntime-gpu")
        ],
    }
    return [
        note(
            f"{' and '.join(names)} are installed over each other; either may be half there",
            f"pip uninstall {' '.join(names)}, then install one of them",
        )
        for names in groups.values()
        if len(names) > 1
    ]


def _cv_bridge(software: Software) -> list[Finding]:
    """cv_bridge reads the encodings that the node does not know itself, so it may be missing."""
    answer = software.answers[CV_BRIDGE]
    if answer.missing:
        return []
    if answer.error:
        return [
            note(
                f"cv_bridge cannot be imported ({answer.error}); images of unusual encodings are "
                "refused, as are other nodes that use it",
                "pip install 'numpy<2', which it was built for",
            )
        ]
    opencv = software.answers["cv2"].value
    if opencv and int(opencv.split(".")[0]) >= 5:
        return [
            note(
                f"cv_bridge does not work with OpenCV {opencv}, which renumbered its types",
                "pip install 'opencv-python-headless<5'",
            )
        ]
    if software.distributions.get("cv-bridge", "").startswith("1."):
        return [
            note(
                "cv_bridge is the build of PyPI, which reads 16UC1 and padded rows wrongly",
                "pip uninstall cv-bridge, and use that of the ROS distribution",
            )
        ]
    return [ok("cv_bridge")]
