# SPDX-License-Identifier: Apache-2.0
import pytest
from tiny_models import write_own

from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError, EngineError


@pytest.fixture
def build(gpu, model):
    from depth_dpt_core.engines.tensorrt import build as module
    from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread

    def build(path=model.path, timings=b"", progress=lambda phase, share: True):
        module.check_version()
        thread = GpuThread()
        settings = module.BuildSettings()
        try:
            return thread.call(lambda _: module.build(path, settings, timings, progress))
        finally:
            thread.close()

    return build


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3.9", "11.4.1"])
def test_one_path_for_all_versions(gpu, build, model, version):
    gpu.trt.__version__ = version
    built = build()
    assert built.plan.endswith(model.path.read_bytes())
    assert built.timing_cache == f"timed by {version};".encode()


@pytest.mark.parametrize("version", ["8.6.1", "9.2.0", "10.2.0.19"])
def test_an_older_version_is_refused(gpu, build, version):
    gpu.trt.__version__ = version
    with pytest.raises(EngineError, match=f"TensorRT {version} is too old, must be 10.3 or later"):
        build()
    assert gpu.trt.counts["build"] == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("builder", r"TensorRT does not start: CUDA initialization failure with error: 35"),
        ("network", r"no memory to build in: TensorRT gives no reason"),
        ("config", r"no memory to build in"),
        ("parse", r"does not understand city\.onnx: Odd /blocks\.0/odd: no importer for this op"),
        ("build", r"cannot build city\.onnx: Error Code 10: .* node \{Odd\}\."),
    ],
)
def test_each_failure_is_told_in_tensorrts_words(gpu, build, fault, message):
    gpu.trt.faults[fault] = True
    with pytest.raises(EngineError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
    gpu.trt.faults.clear()
    assert build().plan


def test_words_of_an_earlier_failure_are_not_repeated(gpu, build):
    gpu.trt.faults["build"] = True
    with pytest.raises(EngineError):
        build()
    gpu.trt.faults.clear()
    gpu.trt.faults["network"] = True
    with pytest.raises(EngineError, match="TensorRT gives no reason"):
        build()


def test_a_size_left_open_is_refused(build, model, tmp_path):
    with pytest.raises(EngineError, match=r"'image' is \[-1, 12, 24, 3\], must be of fixed size"):
        build(write_own(tmp_path / "open.onnx", model.spec, batch="n"))


def test_progress_grows_from_nothing_to_all(build):
    told = []
    build(progress=lambda phase, share: told.append((phase, share)) or True)
    shares = [share for _, share in told]
    assert shares == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.625, 0.75, 0.875, 1, 1])
    assert told[0][0] == "Part 0"


def test_cancelling_ends_the_build_at_its_next_step(build):
    told = []
    with pytest.raises(BuildCancelledError, match=r"of city\.onnx was cancelled"):
        build(progress=lambda phase, share: told.append(phase) or len(told) < 3)
    assert len(told) == 3


def test_progress_that_raises_ends_the_build(build):
    def progress(phase, share):
        raise BrokenPipeError

    with pytest.raises(BuildCancelledError):
        build(progress=progress)


@pytest.mark.parametrize(
    ("earlier", "used"),
    [
        (b"", b""),
        (b"timed by 10.3.0;", b"timed by 10.3.0;"),
        (b"timed by 10.2.0;", b""),  # another version's
        (b"rubbish", b""),
    ],
)
def test_only_timings_of_this_version_are_used(gpu, build, earlier, used):
    build(timings=earlier)
    assert gpu.trt.said_by["timing cache"] == used


def test_a_build_without_timings_is_a_build(gpu, build):
    gpu.trt.faults["timing"] = None
    assert build().timing_cache == b""
