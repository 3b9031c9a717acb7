# SPDX-License-Identifier: Apache-2.0
"""The package as colcon, rosdep and pip see it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
# packages of ROS 2 itself, and keys in rosdep's python.yaml (ros/rosdistro)
ROS_KEYS = {
    "ament_index_python", "cv_bridge", "diagnostic_msgs", "geometry_msgs", "launch", "launch_ros",
    "launch_testing", "launch_testing_ros", "lifecycle_msgs", "rcl_interfaces", "rclpy",
    "ros2launch", "rosgraph_msgs", "rviz2", "sensor_msgs", "std_msgs", "std_srvs",
}  # fmt: skip
PYTHON_KEYS = {
    "python3-numpy", "python3-onnxruntime-gpu-pip", "python3-onnxruntime-pip", "python3-opencv",
    "python3-pytest", "python3-setuptools", "python3-timm-pip", "python3-torch",
    "python3-torchvision", "python3-tqdm", "python3-yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def manifest() -> ET.Element:
    return ET.parse(ROOT / "package.xml").getroot()


def depends(manifest: ET.Element) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for element in manifest:
        if element.tag.endswith("depend"):
            found.setdefault(element.tag, set()).add(element.text or "")
    return found


def setup_arguments() -> dict[str, ast.expr]:
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (setup,) = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "setup"]
    return {keyword.arg: keyword.value for keyword in setup.keywords if keyword.arg}


def imported(files: list[Path]) -> set[str]:
    """Top-level names of all modules that the files import."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def test_manifest_is_format_3_of_an_ament_python_package(manifest: ET.Element) -> None:
    assert (manifest.tag, manifest.get("format")) == ("package", "3")
    assert manifest.findtext("name") == "depth_dpt_ros"
    assert manifest.findtext("license") == "Apache-2.0"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert (ROOT / "resource" / "depth_dpt_ros").is_file()


def test_manifest_is_valid_for_colcon() -> None:
    # colcon takes a package with an invalid package.xml as plain Python, without a word
    package = pytest.importorskip("catkin_pkg.package", reason="needs catkin_pkg")
    warnings: list[str] = []
    package.parse_package(str(ROOT / "package.xml"), warnings=warnings)
    assert warnings == []


def test_version_is_the_same_everywhere(manifest: ET.Element) -> None:
    version = manifest.findtext("version")
    assert version is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert ast.literal_eval(setup_arguments()["version"]) == version
    changelog = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    released = re.findall(r"^(\d+\.\d+\.\d+) ?.*\n-+$", changelog, re.MULTILINE)
    assert not released or released[0] == version
    assert released or "Forthcoming" in changelog


def test_rosdep_knows_every_dependency(manifest: ET.Element) -> None:
    keys = set().union(*depends(manifest).values())
    assert keys <= ROS_KEYS | PYTHON_KEYS


@pytest.mark.parametrize(
    ("folders", "tags"),
    [
        (("depth_dpt_ros", "launch"), ("depend", "exec_depend")),
        (("test",), ("depend", "exec_depend", "test_depend")),
    ],
)
def test_every_ros_package_imported_is_a_dependency(
    manifest: ET.Element, folders: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    names = imported([f for folder in folders for f in (ROOT / folder).rglob("*.py")])
    names = {n for n in names if n in ROS_KEYS or n.endswith(("_msgs", "_interfaces"))}
    declared = set().union(*(depends(manifest).get(tag, set()) for tag in tags))
    assert names <= declared


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # what an earlier build left beside the source would get in
    unwanted = shutil.ignore_patterns(".*", "build", "install", "log", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    done = subprocess.run(
        [*build, "-w", str(folder), str(source)], capture_output=True, text=True, timeout=300
    )
    if "No module named" in done.stderr or "invalid command 'bdist_wheel'" in done.stderr:
        pytest.skip("needs pip, setuptools and wheel")
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.mark.slow
def test_wheel_holds_all_that_runs_and_no_more(
    wheel: zipfile.ZipFile, manifest: ET.Element
) -> None:
    root = f"depth_dpt_ros-{manifest.findtext('version')}"
    share = f"{root}.data/data/share"
    names = set(wheel.namelist())
    expected = {
        f"{share}/ament_index/resource_index/packages/depth_dpt_ros",
        f"{share}/depth_dpt_ros/package.xml",
        f"{share}/depth_dpt_ros/config/fastdds.xml",
        "depth_dpt_core/models/builtin.onnx",
        "depth_dpt_core/py.typed",
        "depth_dpt_ros/fastdds.xml",
        "depth_dpt_ros/py.typed",
    }
    for folder in ("launch", "config", "config/models"):
        files = [f for f in (ROOT / folder).iterdir() if f.is_file()]
        expected |= {f"{share}/depth_dpt_ros/{folder}/{f.name}" for f in files}
    for folder in ("depth_dpt_core/frames", "depth_dpt_ros/demo_drive"):
        files = [f for f in (ROOT / folder).iterdir() if f.is_file()]
        assert files, folder
        expected |= {f"{folder}/{f.name}" for f in files}
    for package in ("depth_dpt_core", "depth_dpt_ros"):
        expected |= {f.relative_to(ROOT).as_posix() for f in (ROOT / package).rglob("*.py")}
    assert expected - names == set()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"depth_dpt_core", "depth_dpt_ros", f"{root}.data", f"{root}.dist-info"}
    assert not [name for name in names if re.search(r"/tests?/|^training/", name)]


@pytest.mark.slow
def test_wheel_installs_the_commands(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    text = wheel.read(name).decode()
    assert "depth_node = depth_dpt_ros.depth_node:main" in text
    assert "depth-dpt = depth_dpt_ros.cli:main" in text


@pytest.mark.parametrize("section", ["develop", "install"])
def test_colcon_puts_executables_where_launch_looks(section: str) -> None:
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    key = {"develop": "script_dir", "install": "install_scripts"}[section]
    assert f"[{section}]\n{key} = $base/lib/depth_dpt_ros\n" in text


def test_setup_runs_through_a_link(tmp_path: Path, manifest: ET.Element) -> None:
    pytest.importorskip("setuptools")
    (tmp_path / "setup.py").symlink_to(ROOT / "setup.py")  # as colcon --symlink-install does
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == manifest.findtext("version")
