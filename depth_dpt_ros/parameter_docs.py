# SPDX-License-Identifier: Apache-2.0
"""What is written about the parameters elsewhere, made from their table.

`python -m depth_dpt_ros.parameter_docs` in a checkout writes config/depth.yaml and the table in
README.md anew.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import yaml

from depth_dpt_core.files import write_atomically
from depth_dpt_ros.parameters import APPLIES, PARAMETERS, ParameterSpec

_BEGIN = "<!-- made by: python -m depth_dpt_ros.parameter_docs -->\n"
_END = "<!-- end of what was made -->\n"


def config() -> str:
    """config/depth.yaml: every parameter with its default."""
    lines = [
        "# Parameters of depth_node with their defaults; can be set at any time where nothing",
        "# else is said. Made by: python -m depth_dpt_ros.parameter_docs",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in PARAMETERS:
        comment = textwrap.wrap(_about(spec), 92)
        lines += [*(f"    # {line}" for line in comment), f"    {spec.name}: {_default(spec)}"]
    return "\n".join(lines) + "\n"


def table() -> str:
    """The table of README.md, in Markdown."""
    rows = ["| name | default | unit | what | can be set |", "|---|---|---|---|---|"]
    rows += [
        f"| `{spec.name}` | `{_default(spec)}` | {spec.unit} | {spec.description}"
        f"{_range(spec, ': ', '`')} | {APPLIES[spec.applies]} |"
        for spec in PARAMETERS
    ]
    return "\n".join(rows) + "\n"


def with_table(readme: str) -> str:
    """The text of README.md with the table of today between its marks."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


def _about(spec: ParameterSpec) -> str:
    unit = f" [{spec.unit}]" if spec.unit else ""
    when = "" if spec.applies == "live" else f"; can be set {APPLIES[spec.applies]}"
    return f"{spec.description}{unit}{_range(spec, ': ', '')}{when}"


def _range(spec: ParameterSpec, start: str, quote: str) -> str:
    """What it can be, if that is limited."""
    if spec.choices:
        return start + ", ".join(f"{quote}{choice}{quote}" for choice in spec.choices)
    if spec.low is not None and spec.high is not None:
        return f" ({spec.low:g} to {spec.high:g})"
    return ""


def _default(spec: ParameterSpec) -> str:
    """As YAML has it."""
    return yaml.safe_dump(spec.default, default_flow_style=True).removesuffix("\n...\n").strip()


def main() -> None:
    """Write both."""
    root = Path(__file__).resolve().parents[1]
    readme = root / "README.md"
    write_atomically(root / "config" / "depth.yaml", config().encode())
    write_atomically(readme, with_table(readme.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
