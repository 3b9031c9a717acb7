# SPDX-License-Identifier: Apache-2.0
import gc
import threading

import numpy as np
import pytest
from tiny_models import metres


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 256, (12, 24, 3)).astype(np.uint8)


@pytest.fixture
def load(gpu, model):
    from depth_dpt_core.engines.tensorrt.build import BuildSettings, build
    from depth_dpt_core.engines.tensorrt.engine import TensorRtEngine
    from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread

    def load(**faults):
        thread = GpuThread()
        built = thread.call(
            lambda _: build(model.path, BuildSettings(), b"", lambda _phase, _share: True)
        )
        gpu.trt.faults.update(faults)
        return TensorRtEngine(thread, built.plan, model.spec)

    return load


def test_answers_what_the_network_computes(load, image):
    engine = load()
    answer = engine.infer(image[None])
    assert answer.shape == (1, 1, 12, 24)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer[0, 0], metres(image), rtol=1e-6)
    assert engine.name == "tensorrt 10.3.0 (fp32, Stand-in GPU)"
    assert engine.times is not None
    assert (engine.times.upload, engine.times.network, engine.times.download) == (0.25,) * 3
    engine.close()


def test_an_answer_is_not_overwritten_by_the_next(load, image):
    engine = load()
    first = engine.infer(image[None])
    kept = first.copy()
    engine.infer(255 - image[None])
    np.testing.assert_array_equal(first, kept)


def test_a_frame_takes_no_memory(load, image, gpu):
    engine = load()
    engine.infer(image[None])
    gpu.cuda.calls.clear()
    engine.infer(image[None])
    record, up, down = "record", "memcpy_htod_async", "memcpy_dtoh_async"
    assert gpu.cuda.calls == [record, up, record, record, down, record, "synchronize"]


def test_any_thread_may_call_and_close(load, image):
    engine = load()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(engine.infer(image[None])))
    thread.start()
    thread.join()
    np.testing.assert_allclose(answers[0][0, 0], metres(image), rtol=1e-6)
    closing = threading.Thread(target=engine.close)
    closing.start()
    closing.join()


def test_teardown_frees_users_before_what_they_use(load, image, gpu):
    engine = load()
    engine.infer(image[None])
    gpu.cuda.calls.clear()
    engine.close()
    order = ["free execution context", "free engine", "free buffer", "free buffer", "free stream"]
    assert gpu.cuda.calls == [*order, "pop"]
    assert gpu.cuda.memory == {}


def test_forgetting_the_engine_is_enough(load, image, gpu):
    engine = load()
    engine.infer(image[None])
    del engine
    gc.collect()
    assert gpu.cuda.calls[-1] == "pop"
    assert gpu.cuda.memory == {}


def test_a_closed_engine_says_so(load, image):
    from depth_dpt_core.engines.tensorrt.errors import EngineError

    engine = load()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(image[None])


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((1, 12, 25, 3), np.uint8),
        np.zeros((12, 24, 3), np.uint8),
        np.zeros((1, 12, 24, 3)),
    ],
)
def test_a_tensor_of_another_kind_is_refused(load, image, tensor):
    engine = load()
    with pytest.raises(ValueError, match=r"takes uint8 \(1, 12, 24, 3\), got"):
        engine.infer(tensor)
    assert engine.infer(image[None]).shape == (1, 1, 12, 24)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"runtime": True}, "TensorRT does not start"),
        ({"deserialize": True}, "cannot load the engine: .*Version tag does not match"),
        ({"context": True}, "no room to run: .*OutOfMemory"),
        ({"address": True}, "refuses memory of 'image'"),
        ({"dtype": {"image": "FLOAT"}}, r"'image' is FLOAT \[1, 12, 24, 3\], must be UINT8"),
        ({"dtype": {"depth": "HALF"}}, r"'depth' is HALF .* must be FLOAT"),
        ({"shape": {"depth": [1, 1, 6, 12]}}, r"'depth' is FLOAT \[1, 1, 6, 12\]"),
        ({"shape": {"image": [-1, 12, 24, 3]}}, r"'image' is UINT8 \[-1, 12, 24, 3\]"),
    ],
)
def test_what_cannot_run_is_refused_and_freed(load, gpu, faults, message):
    from depth_dpt_core.engines.tensorrt.errors import EngineError

    with pytest.raises(EngineError, match=message) as error:
        load(**faults)
    assert "\n" not in str(error.value)
    gc.collect()
    assert gpu.cuda.memory == {}


def test_no_memory_is_a_refusal_and_no_fault(load, gpu, image):
    from depth_dpt_core.engines.tensorrt.errors import EngineError

    gpu.cuda.fail["mem_alloc"] = gpu.cuda.MemoryError("cuMemAlloc failed: out of memory")
    with pytest.raises(EngineError, match="not enough GPU memory"):
        load()
    gpu.cuda.fail.clear()
    assert load().infer(image[None]).shape == (1, 1, 12, 24)


@pytest.mark.parametrize("call", ["memcpy_htod_async", "synchronize", "record"])
def test_a_fault_is_remembered_and_nothing_is_freed(load, gpu, image, call):
    from depth_dpt_core.engines.faults import GpuFault
    from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread

    engine = load()
    gpu.cuda.fail[call] = gpu.cuda.LogicError(f"{call} failed: an illegal memory access")
    with pytest.raises(GpuFault, match="illegal memory access"):
        engine.infer(image[None])
    gpu.cuda.fail.clear()
    gpu.cuda.calls.clear()
    with pytest.raises(GpuFault, match=r"not used again in this process.*illegal"):
        engine.infer(image[None])
    with pytest.raises(GpuFault, match="not used again"):
        GpuThread()
    engine.close()
    assert gpu.cuda.calls == []


def test_whoever_waits_when_the_gpu_is_lost_is_told(gpu):
    from depth_dpt_core.engines.faults import GpuFault
    from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread

    thread, begun, go_on = GpuThread(), threading.Event(), threading.Event()
    outcomes = []

    def lose(place):
        begun.set()
        go_on.wait()
        raise GpuFault("lost")

    def ask(task):
        try:
            thread.call(task)
        except GpuFault as fault:
            outcomes.append(str(fault))

    first = threading.Thread(target=ask, args=(lose,))
    second = threading.Thread(target=ask, args=(lambda place: outcomes.append("ran"),))
    first.start()
    begun.wait()
    second.start()
    while thread._tasks.empty():
        pass
    go_on.set()
    first.join()
    second.join()
    assert sorted(outcomes) == ["lost", "the GPU is not used again in this process: lost"]


def test_a_gpu_lost_while_closing_does_not_end_the_process(load, gpu):
    from depth_dpt_core.engines.faults import GpuFault
    from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread

    engine = load()
    gpu.cuda.fail["pop"] = gpu.cuda.LogicError(
        "cuCtxPopCurrent failed: unspecified launch failure"
    )
    engine.close()  # the stand-in minds a thread that ends with its context pushed
    with pytest.raises(GpuFault, match="unspecified launch failure"):
        GpuThread()


def test_a_run_that_answers_false_is_a_fault(load, gpu, image):
    from depth_dpt_core.engines.faults import GpuFault

    engine = load(execute=True)
    with pytest.raises(GpuFault, match=r"could not run: .*illegal memory access"):
        engine.infer(image[None])


@pytest.mark.parametrize(
    ("call", "message"), [("init", "does not start"), ("count", "no CUDA device"),
                          ("Stream", "does not start"), ("Event", "does not start")]
)  # fmt: skip
def test_a_machine_without_a_gpu_is_refused(gpu, call, message):
    from depth_dpt_core.engines.tensorrt.errors import EngineError
    from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread

    gpu.cuda.fail[call] = gpu.cuda.LogicError("cuInit failed: no CUDA-capable device")
    with pytest.raises(EngineError, match=message):
        GpuThread()
