"""Print what constraints-oldest.txt is made of: the oldest versions that are allowed, and the tools of `dev`.

Usage: python .ci/oldest.py | uv pip compile - --python-version 3.11 --no-annotate -o constraints-oldest.txt
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
NOT_USERS = ("dev", "docs", "cuda")
"""Extras whose lower bounds are not tried: tools of the project, and libraries for a GPU."""


def oldest() -> dict[str, str]:
    """Return the oldest version of each package that a user may have; names with their extras."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    groups = [project["dependencies"], *(texts for name, texts in optional.items() if name not in NOT_USERS)]
    found = {}
    for requirement in (Requirement(text) for texts in groups for text in texts):
        if requirement.name == "mertag" or (requirement.marker and not requirement.marker.evaluate()):
            continue
        (bound,) = (s.version for s in requirement.specifier if s.operator == ">=")
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        found[requirement.name + extras] = bound
    return found


def tools() -> list[str]:
    """Return the requirements of `dev` and `docs` that are not mertag's own extras."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    wanted = (text for extra in ("dev", "docs") for text in project["optional-dependencies"][extra])
    return [text for text in wanted if not text.startswith("mertag")]


if __name__ == "__main__":
    sys.stdout.write("\n".join([*(f"{name}=={version}" for name, version in oldest().items()), *tools()]) + "\n")
