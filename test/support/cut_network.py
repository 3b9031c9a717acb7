# SPDX-License-Identifier: Apache-2.0
"""A node and a camera on a network of their own, which is cut and mended.

Run by `unshare --net`; arguments: a log file, and for how many seconds the network is cut. Without
shared memory, so that everything goes through the network. Prints how long depth took to come
again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
# a caller's would bring shared memory back
os.environ.pop("FASTDDS_DEFAULT_PROFILES_FILE", None)
os.environ.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)

from camera_process import CameraProcess
from ros_harness import NodeProcess, camera_in

from depth_dpt_ros.own_domain import own_domain

# of this network alone; with LOCALHOST, the middleware adds shared memory again
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
_MULTICAST = ("route", "add", "224.0.0.0/4", "dev", "lo")
TOPICS = ("-r", "image:=/front/image_raw", "-r", "camera_info:=/front/camera_info")


def main() -> None:
    log, seconds = Path(sys.argv[1]), float(sys.argv[2])
    _network("up")
    for route in (("link", "set", "lo", "multicast", "on"), _MULTICAST):
        subprocess.run(["ip", *route], check=True)
    with (
        own_domain() as domain,
        camera_in(domain) as listener,
        CameraProcess(domain),
        NodeProcess(domain, log, *TOPICS, runtime="onnxruntime") as node,
    ):
        listener.listen("depth")
        listener.wait_for(lambda: listener.depth, 60)
        _network("down")
        listener.spin(2.0)  # what was under way
        listener.depth.clear()
        listener.spin(seconds - 2.0)
        assert not listener.depth, "the network was not cut"
        _network("up")
        subprocess.run(["ip", *_MULTICAST], check=True)
        begun = time.monotonic()
        listener.wait_for(lambda: listener.depth, 60)
        print(f"depth again after {time.monotonic() - begun:.1f} s")
        assert node.process.poll() is None


def _network(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


if __name__ == "__main__":
    main()
