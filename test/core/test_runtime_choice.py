# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import signal
import sys
import threading
import time

import numpy as np
import pytest
from tiny_models import describe, metres, write_own, write_third_party

from depth_dpt_core.artifact import ModelSpec, read
from depth_dpt_core.engines.choice import NoRuntimeError, choose_engine
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.estimator import DepthEstimator


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 256, (12, 24, 3)).astype(np.uint8)


def engines(gpu):
    return sorted(p.name for p in gpu.folder.glob("*.engine"))


def refused(gpu):
    return sorted(p.name for p in (gpu.folder / "refused").glob("*.engine"))


def test_without_tensorrt_onnxruntime_runs_and_says_why(model, image, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    engine = choose_engine(model)
    np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)
    assert engine.name.startswith("onnxruntime (")
    (reason,) = engine.state.reasons
    assert reason.startswith("TensorRT cannot be used here: ")
    with pytest.raises(NoRuntimeError, match="TensorRT cannot be used here"):
        choose_engine(model, "tensorrt")


def test_onnxruntime_when_asked_for_leaves_the_gpu_alone(gpu, model):
    engine = choose_engine(model, "onnxruntime")
    assert engine.state.reasons == ()
    assert gpu.cuda.calls == []


def test_another_runtime_is_a_clear_error(model):
    with pytest.raises(ValueError, match="'openvino', must be one of auto, tensorrt, onnxruntime"):
        choose_engine(model, "openvino")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_model_of_three_images_answers_up_to_three(gpu, tmp_path, image, count):
    engine = choose_engine(
        read(write_own(tmp_path / "city.onnx", ModelSpec(24, 12, max_depth=100.0), batch=3))
    )
    assert engine.name.startswith("tensorrt")
    assert engine.batch == 3
    images = np.stack([image // (i + 1) for i in range(count)])
    engine.infer(255 - np.stack([image] * 3))  # what an earlier batch left must not show
    answer = engine.infer(images)
    assert answer.shape == (count, 1, 12, 24)
    for one, given in zip(answer[:, 0], images, strict=True):
        np.testing.assert_allclose(one, metres(given), rtol=1e-6)
    with pytest.raises(ValueError, match=r"takes uint8 \(3, 12, 24, 3\), got uint8 \(4, 12"):
        engine.infer(np.stack([image] * 4))


def test_an_engine_that_is_wrong_on_the_second_image_only_is_refused(gpu, tmp_path, image):
    gpu.trt.faults["second"] = True
    engine = choose_engine(
        read(write_own(tmp_path / "city.onnx", ModelSpec(24, 12, max_depth=100.0), batch=3))
    )
    assert engine.name.startswith("onnxruntime")
    assert "does not answer like" in engine.state.reasons[-1]
    assert engine.batch == 3


def test_fp16_runs_first_and_is_proven_against_fp32(gpu, pair, image):
    engine = choose_engine(pair)
    assert engine.name == "tensorrt 10.3.0 (fp16, Stand-in GPU)"
    assert (engine.state.precision, engine.state.model.name) == ("fp16", "city.fp16.onnx")
    assert engine.state.check.passed
    assert engine.state.check.reference.endswith("(CPU, fp32)")
    assert engine.state.reasons == ()
    np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)
    assert gpu.trt.counts["build"] == 1


def test_asking_for_the_fp16_file_is_the_same(gpu, pair):
    half = read(pair.path.with_name("city.fp16.onnx"))
    state = choose_engine(half).state
    assert (state.precision, state.check.reference[-11:]) == ("fp16", "(CPU, fp32)")
    gpu.trt.faults["scale"] = 2.0
    assert choose_engine(half).state.model == pair.path  # on a CPU fp32 is faster


def test_the_estimator_runs_on_it(gpu, model, image):
    estimator = DepthEstimator.load(model, runtime="tensorrt")
    estimator.warm_up()
    np.testing.assert_allclose(estimator(image, None), metres(image), rtol=1e-5)
    assert estimator.engine.name.startswith("tensorrt")


def test_the_next_start_builds_nothing_but_proves_again(gpu, pair):
    choose_engine(pair)
    gpu.trt.counts.update(build=0, execute=0)
    assert choose_engine(pair).state.check.passed
    assert gpu.trt.counts["build"] == 0
    assert gpu.trt.counts["execute"] == 3 * 8


def test_the_reference_is_computed_once(gpu, model, monkeypatch):
    choose_engine(model)
    monkeypatch.setattr(OnnxRuntimeEngine, "infer", None)
    assert choose_engine(model).state.check.passed


@pytest.mark.parametrize(
    "change",
    [
        lambda gpu: setattr(gpu.trt, "__version__", "10.13.3.9"),
        lambda gpu: gpu.cuda.identity.update(name="Orin"),
        lambda gpu: gpu.cuda.identity.update(compute_capability=(12, 0)),
        lambda gpu: gpu.cuda.identity.update(driver=13000),
    ],
)
def test_another_machine_builds_its_own(gpu, model, change):
    choose_engine(model)
    change(gpu)
    assert choose_engine(model).state.check.passed
    assert gpu.trt.counts["build"] == 2
    assert len(engines(gpu)) == 2


def test_another_model_under_the_same_name_builds_its_own(gpu, model):
    choose_engine(model)
    write_own(model.path, dataclasses.replace(model.spec, dataset="another"))
    choose_engine(read(model.path))
    assert gpu.trt.counts["build"] == 2


def test_an_engine_with_wrong_numbers_is_aside_and_the_next_precision_runs(
    gpu, pair, image, monkeypatch
):
    run_right = gpu.trt._Context.execute_async_v3

    def wrong_for_fp16(context, stream_handle):
        half = '"precision": "fp16"' in str(
            context.engine.session.get_modelmeta().custom_metadata_map
        )
        gpu.trt.faults["scale"] = 1.3 if half else 1.0
        return run_right(context, stream_handle)

    monkeypatch.setattr(gpu.trt._Context, "execute_async_v3", wrong_for_fp16)
    engine = choose_engine(pair)
    assert engine.name == "tensorrt 10.3.0 (fp32, Stand-in GPU)"
    (reason,) = engine.state.reasons
    assert reason.startswith("city.fp16.onnx (fp16): refused, tensorrt 10.3.0")
    assert "abs_rel 0.3 (limit 0.01)" in reason
    np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)
    (aside,) = refused(gpu)
    report = json.loads((gpu.folder / "refused" / f"{aside}.json").read_bytes())["report"]
    assert report["passed"] is False
    assert report["frames"][0]["scale_drift"] == pytest.approx(0.3, rel=1e-3)
    # not built again to be refused again
    gpu.trt.counts.update(build=0)
    (reason,) = choose_engine(pair).state.reasons
    assert "not built again after an earlier engine was refused" in reason
    assert gpu.trt.counts["build"] == 0


@pytest.mark.parametrize("fault", [{"scale": 1.02}, {"nan": True}, {"unsteady": True}])
def test_when_no_engine_is_right_onnxruntime_runs(gpu, pair, image, fault):
    gpu.trt.faults.update(fault)
    engine = choose_engine(pair)
    assert engine.name.startswith("onnxruntime")
    assert engine.state.model == pair.path
    assert [r.split(":")[0] for r in engine.state.reasons] == [
        "city.fp16.onnx (fp16)",
        "city.onnx (fp32)",
    ]
    assert engine.state.gpu_fault == ""
    np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)
    assert engines(gpu) == []
    assert len(refused(gpu)) == 2
    with pytest.raises(NoRuntimeError, match=r"city\.fp16\.onnx .*; city\.onnx"):
        choose_engine(pair, "tensorrt")
    gpu.trt.faults.clear()
    assert choose_engine(pair, rebuild=True).state.precision == "fp16"
    assert choose_engine(pair).state.precision == "fp16"  # the refusal is forgotten


def test_an_engine_that_was_right_and_no_longer_is_is_refused(gpu, model):
    choose_engine(model)
    gpu.trt.faults["scale"] = 1.5
    assert choose_engine(model).name.startswith("onnxruntime")
    assert len(refused(gpu)) == 1


@pytest.mark.parametrize("fault", ["builder", "network", "parse", "build", "deserialize"])
def test_whatever_tensorrt_refuses_onnxruntime_runs(gpu, model, image, fault):
    gpu.trt.faults[fault] = True
    engine = choose_engine(model)
    assert engine.name.startswith("onnxruntime")
    assert len(engine.state.reasons) == 1
    np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)


@pytest.mark.parametrize("how", ["bit", "unloadable"])
def test_a_cached_engine_that_went_bad_is_built_again_once(gpu, model, how):
    choose_engine(model)
    (name,) = engines(gpu)
    path = gpu.folder / name
    gpu.trt.counts.update(build=0, deserialize=0)
    if how == "bit":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        assert choose_engine(model).state.check.passed
        assert gpu.trt.counts["deserialize"] == 1  # never the bad one
    else:
        gpu.trt.faults["deserialize"] = True
        assert choose_engine(model).name.startswith("onnxruntime")
        assert gpu.trt.counts["deserialize"] == 2
    assert gpu.trt.counts["build"] == 1


def test_a_cache_that_others_can_enter_is_not_used(gpu, model):
    gpu.folder.mkdir(parents=True)
    gpu.folder.chmod(0o777)
    engine = choose_engine(model)
    assert engine.name.startswith("onnxruntime")
    assert "others can enter" in engine.state.reasons[0]


@pytest.mark.parametrize("sibling", ["missing.onnx", "../up.onnx", "other.onnx"])
def test_a_sibling_that_is_not_one_is_left_out(gpu, tmp_path, sibling):
    spec = ModelSpec(width=24, height=12, max_depth=100.0, sibling=sibling)
    write_own(tmp_path / "other.onnx", dataclasses.replace(spec, max_depth=50.0))
    engine = choose_engine(read(write_own(tmp_path / "city.onnx", spec)))
    assert engine.name.startswith("tensorrt")
    assert len(engine.state.reasons) == 1


def test_a_gpu_lost_mid_run_loses_no_frame(gpu, pair, image, monkeypatch):
    engine = choose_engine(pair)
    engine.infer(image[None])
    gpu.cuda.fail["memcpy_dtoh_async"] = gpu.cuda.LogicError("an illegal memory access")
    for _ in range(3):
        np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)
    assert engine.name == "onnxruntime (CPU)"
    assert engine.state.name == "onnxruntime (CPU)"
    assert (engine.state.model, engine.state.precision) == (pair.path, "fp32")
    assert "illegal memory access" in engine.state.gpu_fault
    # in this process for good, though the GPU be well again
    only = []
    real = OnnxRuntimeEngine.__init__

    def spy(self, artifact, **options):
        only.append(options["cpu_only"])
        real(self, artifact, **options)

    monkeypatch.setattr(OnnxRuntimeEngine, "__init__", spy)
    gpu.cuda.fail.clear()
    gpu.cuda.calls.clear()
    again = choose_engine(pair)
    assert again.name == "onnxruntime (CPU)"
    assert "not used again in this process" in again.state.gpu_fault
    assert only == [True]
    assert gpu.cuda.calls == []
    with pytest.raises(NoRuntimeError, match="not used again in this process"):
        choose_engine(pair, "tensorrt")


def test_a_gpu_lost_during_the_proof_leaves_the_cpu(gpu, pair, image):
    gpu.cuda.fail["synchronize"] = gpu.cuda.LogicError("unspecified launch failure")
    engine = choose_engine(pair)
    assert engine.name == "onnxruntime (CPU)"
    assert "unspecified launch failure" in engine.state.gpu_fault
    assert gpu.trt.counts["build"] == 1  # the second precision is not tried
    assert refused(gpu) == []  # the engine may be good


def test_onnxruntime_on_a_gpu_that_fails_goes_on_on_the_cpu(gpu, model, image):
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail

    engine = choose_engine(model, "onnxruntime")

    class OnTheGpu:
        name = "onnxruntime (CUDA)"
        inner = engine._engine
        inner.concurrent = False

        def infer(self, tensor):
            def lost(*arguments):
                raise Fail("CUDA failure 700")

            self.inner._session = type("Session", (), {"run": staticmethod(lost)})
            return self.inner.infer(tensor)

    engine._engine = OnTheGpu()
    np.testing.assert_allclose(engine.infer(image[None])[0, 0], metres(image), rtol=1e-6)
    assert "CUDA failure 700" in engine.state.gpu_fault
    # and TensorRT does not try that GPU either
    assert "CUDA failure 700" in choose_engine(model).state.gpu_fault
    assert gpu.cuda.calls == []


def test_cancelling_ends_it_and_gives_the_gpu_back(gpu, model):
    from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError

    with pytest.raises(BuildCancelledError):
        choose_engine(model, progress=lambda phase, share: share < 0.5)
    assert gpu.cuda.calls[-1] == "pop"
    assert engines(gpu) == []
    assert choose_engine(model).state.check.passed


def test_cancelling_the_proof_keeps_the_engine(gpu, model):
    from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError

    with pytest.raises(BuildCancelledError, match="proving"):
        choose_engine(
            model, progress=lambda phase, share: phase != "proving the engine" or share < 0.5
        )
    assert len(engines(gpu)) == 1
    assert choose_engine(model).state.check.passed
    assert gpu.trt.counts["build"] == 1


def test_a_third_partys_model_is_judged_again_when_its_description_changes(gpu, tmp_path):
    path = write_third_party(tmp_path / "their.onnx", size=(24, 12), weights=(1, 2, 3), bias=4)
    facts = {
        "width": 24,
        "height": 12,
        "input": {"name": "pixels", "layout": "NCHW", "dtype": "float32"},
        "output": {"name": "out"},
    }
    describe(path, **facts, min_depth=70.0, max_depth=80.0)
    (reason,) = choose_engine(read(path)).state.reasons
    assert "proves nothing" in reason
    describe(path, **facts, min_depth=1.0, max_depth=80.0)
    engine = choose_engine(read(path))
    assert engine.name.startswith("tensorrt")
    pixels = np.random.default_rng(0).random((1, 3, 12, 24), np.float32)
    expected = np.tensordot((1, 2, 3), pixels[0], 1) + 4
    np.testing.assert_allclose(engine.infer(pixels)[0, 0], expected, rtol=1e-5)


def test_an_interrupted_caller_does_not_wait_for_the_build(gpu, model):
    phases = []
    begun, interrupted = threading.Event(), threading.Event()

    def progress(phase, share):
        phases.append(phase)
        begun.set()
        interrupted.wait(10)
        time.sleep(0.2)
        return True

    def interrupt():
        begun.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        interrupted.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        choose_engine(model, progress=progress)
    assert len(phases) < 10
    assert gpu.cuda.calls[-1] == "pop"


def test_the_state_is_json(gpu, pair):
    gpu.trt.faults["nan"] = True
    state = choose_engine(pair).state.to_dict()
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert state["runtime"].startswith("onnxruntime")
    assert len(state["reasons"]) == 2
