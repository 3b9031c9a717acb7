# SPDX-License-Identifier: Apache-2.0
"""What running depth nodes say, and whether they are connected."""

from __future__ import annotations

from depth_dpt_ros.doctor.cameras import absent, of_qos
from depth_dpt_ros.doctor.finding import Finding, note, ok, problem
from depth_dpt_ros.doctor.graph import DepthNode, Graph


def findings(graph: Graph) -> list[Finding]:
    """What running depth nodes say of themselves, and whether they are connected."""
    if graph.error:
        return []
    if not graph.nodes:
        return [note("no depth_node is running on this ROS_DOMAIN_ID")]
    return [finding for node in graph.nodes for finding in _node(node, graph)]


def _node(node: DepthNode, graph: Graph) -> list[Finding]:
    if not node.state:
        return [
            problem(f"{node.name}: does not answer", "start it anew, and look at its log"),
        ]
    found = []
    if node.namesakes:
        found.append(
            note(
                f"{node.namesakes + 1} nodes are called {node.name}; what is asked of one may "
                "reach the other",
                "end the one left over (one that was killed is seen for 20 s), or give each a "
                "name:= of its own",
            )
        )
    if node.state != "active":
        found.append(
            problem(
                f"{node.name}: is {node.state}, and publishes only when active",
                f"ros2 lifecycle set {node.name} "
                + ("configure" if node.state == "unconfigured" else "activate"),
            )
        )
    found += [_input(node, topic, graph) for topic in node.inputs]
    for level, name, message in node.statuses:
        text = f"{name}: {message}"
        if level == 0:
            found.append(ok(text))
        elif level == 1:
            found.append(note(text))
        else:
            found.append(problem(text, f"the node's log says more; {node.name} names the cause"))
    for output in node.outputs:
        found += of_qos(output)
    if node.outputs and not any(output.subscriptions for output in node.outputs):
        first = node.outputs[0].name
        found.append(
            note(
                f"{node.name}: nobody subscribes to {first} or another of its topics, so nothing "
                "is computed"
            )
        )
    if node.use_sim_time and not graph.clock:
        found.append(
            note(
                f"{node.name}: use_sim_time is set and nobody publishes /clock; its time stands "
                "still",
                "ros2 bag play --clock, or use_sim_time:=false",
            )
        )
    return found


def _input(node: DepthNode, topic: str, graph: Graph) -> Finding:
    if topic in graph.images:
        return ok(f"{node.name} listens to {topic}")
    base = topic.removesuffix("/compressed")
    if node.compressed and base in graph.images:
        return problem(
            f"{node.name} waits for {topic}, and only {base} is published",
            "start it with image_transport:=raw",
        )
    if not node.compressed and f"{topic}/compressed" in graph.images:
        return problem(
            f"{node.name} waits for {topic}, and only {topic}/compressed is published",
            "start it with image_transport:=compressed",
        )
    return absent(topic, graph.images, node.inputs)
