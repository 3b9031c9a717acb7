# SPDX-License-Identifier: Apache-2.0
"""What is written about the parameters elsewhere, made from their table.

`python -m depth_dpt_ros.parameter_docs` in a checkout writes config/depth.yaml and the table in
README.md anew.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from depth_dpt_core.files import write_atomically
from depth_dpt_ros.parameters import APPLIES, PARAMETERS, ParameterSpec

BEGIN = "<!-- parameters: made by python -m depth_dpt_ros.parameter_docs -->"
END = "<!-- /parameters -->"


def config() -> str:
    """config/depth.yaml: every parameter with its default."""
    lines = [
        "# Parameters of depth_node with their defaults; `ros2 param describe` says more.",
        "# Made by: python -m depth_dpt_ros.parameter_docs",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in PARAMETERS:
        given = f"{spec.name}: {_yaml(spec)}"
        lines.append(f"    # {_about(spec)}")
        lines.append(f"    {given}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """The table of README.md, in Markdown."""
    rows = ["| name | default | unit | what | can be set |", "|---|---|---|---|---|"]
    for spec in PARAMETERS:
        what = spec.description
        if spec.choices:
            what += f": {', '.join(f'`{choice}`' for choice in spec.choices)}"
        rows.append(
            f"| `{spec.name}` | `{_yaml(spec)}` | {spec.unit} | {what} | {APPLIES[spec.applies]} |"
        )
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """The text of README.md with the table of today between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _about(spec: ParameterSpec) -> str:
    parts = [spec.description]
    if spec.choices:
        parts.append(f"one of {', '.join(spec.choices)}")
    elif spec.low is not None and spec.high is not None:
        parts.append(f"{spec.low:g} to {spec.high:g} {spec.unit}".strip())
    parts.append(f"can be set {APPLIES[spec.applies]}")
    return "; ".join(parts)


def _yaml(spec: ParameterSpec) -> str:
    """The default as YAML has it."""
    return yaml.safe_dump(spec.default, default_flow_style=True).removesuffix("\n...\n").strip()


def main() -> None:
    """Write both."""
    root = Path(__file__).resolve().parents[1]
    readme = root / "README.md"
    write_atomically(root / "config" / "depth.yaml", config().encode())
    write_atomically(readme, with_table(readme.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
