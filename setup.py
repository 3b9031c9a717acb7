# SPDX-License-Identifier: Apache-2.0
"""One package for colcon (`ament_python`) and pip."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "depth_dpt_ros"
ROOT = Path(__file__).resolve().parent  # colcon --symlink-install runs a link to this file
OPENCV = "opencv-python-headless>=4.8,<5"  # OpenCV 5 breaks cv_bridge
ROS = [
    "ros-rclpy[fastrtps]",
    "ros-lifecycle-msgs",
    "ros-rosgraph-msgs",
    "ros-sensor-msgs",
    "ros-std-msgs",
    "ros-std-srvs",
    "ros-diagnostic-msgs",
    "ros-geometry-msgs",
]
REPLAY = ["rosbags>=0.10.4", "matplotlib>=3.7", "filelock>=3.12"]
SYNTH = ["embreex>=2.17"]
HUB = ["huggingface_hub>=0.26"]
# TensorRT itself: of JetPack on a Jetson, else `pip install tensorrt`
TENSORRT = ["pycuda>=2022.1", "filelock>=3.12"]
TRAIN = [
    "torch>=2.6",
    "torchvision>=0.21",
    "timm>=1.0.15",
    "safetensors>=0.4",
    "onnx>=1.16",
    "onnxscript>=0.5",
    "kornia_rs>=0.2",  # decodes PNG twice as fast as OpenCV, and finds broken files
    "accelerate>=1.0",
    "mlflow>=3.1",
    "dvc>=3.50",
    "matplotlib>=3.7",
    "filelock>=3.12",
    *SYNTH,
    *HUB,
]


def listing(pattern: str) -> list[str]:
    """Files of the source tree, relative to it."""
    return [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(pattern))]


setup(
    name=NAME,
    version="0.1.0",
    description="Metric depth from one camera, for ROS 2",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    maintainer="depth_dpt_ros maintainers",
    maintainer_email="depth-dpt-ros@users.noreply.github.com",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["depth_dpt_core*", "depth_dpt_ros*"]),
    package_data={
        "depth_dpt_core": ["py.typed"],
        "depth_dpt_core.models": ["*.onnx"],
        "depth_dpt_core.frames": ["*.png"],
        "depth_dpt_ros": ["py.typed", "fastdds.xml", "demo_drive/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/config/models", listing("config/models/*.yaml")),
        (f"share/{NAME}/launch", listing("launch/*.py")),
        (
            f"share/{NAME}/config",
            [*listing("config/*.yaml"), *listing("config/*.rviz"), f"{NAME}/fastdds.xml"],
        ),
    ],
    install_requires=[
        "setuptools",
        "numpy>=1.21",
        OPENCV,
        "onnxruntime>=1.16",
        "PyYAML>=5.4",
        "tqdm>=4.60",
    ],
    extras_require={
        "ros": ROS,
        "replay": REPLAY,
        "synth": SYNTH,
        "hub": HUB,
        "tensorrt": TENSORRT,
        "train": TRAIN,
        "demo": [*ROS, *REPLAY],
        "test": ["pytest<9"],
        "dev": [
            *ROS,
            *REPLAY,
            *TRAIN,
            "pytest<9",
            "pytest-xdist>=3.5",
            "mcap>=1.2",
            "mcap-ros2-support>=0.5",
            "mypy~=2.4",
            "ruff~=0.17.0",
            "types-PyYAML",
            "types-tqdm",
        ],
    },
    entry_points={
        "console_scripts": [
            "depth_node = depth_dpt_ros.depth_node:main",
            "depth_rviz = depth_dpt_ros.rviz:main",
            "depth-dpt = depth_dpt_ros.cli:main",
        ],
    },
    zip_safe=False,
)
