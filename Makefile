# Every target sets up what it needs in a virtual environment of its own.

PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
# a shell that has sourced a ROS must not leak it into the environments
CLEAN := env -u PYTHONPATH -u AMENT_PREFIX_PATH -u LD_LIBRARY_PATH -u RMW_IMPLEMENTATION \
	-u ROS_DISTRO -u _ROS_WHEELS_BOOTSTRAP_COMPLETE
# glibc would give large buffers back to the kernel at every step of training on a CPU
KEEP_MEMORY := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=67108864
# the shell quotes them, whatever they hold
export BAG IMAGE
# of training and tests; two threads in one process are slower than two processes of one thread
PROCESSES ?= $(shell nproc)
# a file of tests stays in one process: its tests share what is slow to make; one process more than
# cores, for many tests wait for others
PYTEST := env OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest -q \
	-n $(shell expr $(PROCESSES) + 1) --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder
PIP_QUIET := -q --disable-pip-version-check

.PHONY: demo test test-fast lint bench soak builtin compare ablation results clean

demo: $(DEMO)/ready  ## run the node on a bundled drive, or BAG=path [IMAGE=topic]
	@$(CLEAN) $(DEMO)/bin/depth-dpt demo $${BAG:+--bag "$$BAG"} $${IMAGE:+--image "$$IMAGE"}

test: $(DEV)/ready  ## run all tests
	$(CLEAN) $(PYTEST) $(ARGS)

test-fast: $(DEV)/ready  ## run the tests that take seconds
	$(CLEAN) $(PYTEST) -m "not slow" $(ARGS)

lint: $(DEV)/ready  ## check style and types
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(CLEAN) $(DEV)/bin/mypy

bench: $(DEV)/ready  ## measure speed against named baselines; of one thing: WHAT=preprocess
	@for what in $${WHAT:-preprocess synth latency bag-eval node}; do \
		$(CLEAN) $(DEV)/bin/depth-dpt bench $$what $(ARGS) || exit; done

soak: $(DEV)/ready  ## faults in turn, memory watched, for MINUTES=10; of one fault: ARGS='--only silence'
	$(CLEAN) $(DEV)/bin/python test/soak.py --minutes $${MINUTES:-10} $(ARGS)

builtin: $(DEV)/ready  ## make the built-in model again, resuming where it stopped
	$(CLEAN) $(DEV)/bin/depth-dpt synth --out training/data/synth --seed 1 --scenes 2000
	cd training/builtin && for part in coarse.yaml middle.yaml params.yaml; do \
		$(CLEAN) ../../$(DEV)/bin/depth-dpt preprocess --config $$part && \
		$(CLEAN) $(KEEP_MEMORY) ../../$(DEV)/bin/torchrun --nproc-per-node $(PROCESSES) \
			-m depth_dpt_ros.cli train --resume --config $$part || exit; done
	cd training/builtin && for stage in evaluate promote export; \
		do $(CLEAN) ../../$(DEV)/bin/depth-dpt $$stage || exit; done

compare: $(DEV)/ready  ## train ours beside the original recipe; the table of training/README.md
	$(CLEAN) $(KEEP_MEMORY) $(DEV)/bin/python training/compare.py $(ARGS)

ablation: $(DEV)/ready  ## train with one thing taken away at a time, for training/RESULTS.md
	$(CLEAN) $(KEEP_MEMORY) $(DEV)/bin/python training/ablation.py $(ARGS)

results: $(DEV)/ready  ## measure the built-in model: training/RESULTS.md; ARGS='--dgp SCENE'
	$(CLEAN) $(DEV)/bin/python training/results.py $(ARGS)

clean:  ## remove the environments and results
	rm -rf $(DEMO) $(DEV) demo_output

$(DEMO)/ready: setup.py
	@test "$$(uname -m)" = x86_64 || { echo "rclpy wheels exist for x86_64 only:" \
		"on $$(uname -m) source a ROS 2, pip install '.[replay]' and run: depth-dpt demo"; exit 1; }
	$(CLEAN) $(PYTHON) -m venv $(DEMO)
	$(CLEAN) $(DEMO)/bin/pip install $(PIP_QUIET) -e '.[demo]'
	@touch $@

$(DEV)/ready: setup.py
	@test "$$(uname -m)" = x86_64 || { echo "rclpy wheels exist for x86_64 only:" \
		"on $$(uname -m) source a ROS 2, pip install '.[train,replay,hub,test]' and run: pytest"; exit 1; }
	$(CLEAN) $(PYTHON) -m venv $(DEV)
	$(CLEAN) $(DEV)/bin/pip install $(PIP_QUIET) -e '.[dev]'
	@touch $@
