# SPDX-License-Identifier: Apache-2.0
"""TensorRT: an engine is built once from the model file, proven right, cached and run.

Importing a module of this package needs TensorRT and pycuda only where it says so; `errors` and
`check` need neither.
"""

MIN_VERSION = (10, 3)  # the first that the modules here are written for
