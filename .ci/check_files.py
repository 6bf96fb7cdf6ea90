"""Check what no linter does: a Python file is at most 400 lines long, and no two modules of the tests have one name.

Usage: python .ci/check_files.py. It prints each fault; exit code 1 if there is one.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("mertag", "train", "export", "beetsplug", "tests", "benchmarks", "examples", "website", ".ci")
MOST_LINES = 400


def too_long(root: Path) -> list[str]:
    """Return a sentence for each Python file below a checkout that is too long."""
    faults = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            n = len(path.read_text(encoding="utf-8").splitlines())
            if n > MOST_LINES:
                faults.append(f"{path.relative_to(root)}: {n} lines, more than {MOST_LINES}; split it by idea")
    return faults


def same_names(root: Path) -> list[str]:
    """Return a sentence for each name that several modules of the tests have: pytest can import only one of them."""
    places = defaultdict(list)
    for path in sorted((root / "tests").rglob("*.py")):
        if path.name not in ("conftest.py", "__init__.py"):
            places[path.name].append(str(path.relative_to(root)))
    return [f"{' and '.join(found)} have one name; rename one" for found in places.values() if len(found) > 1]


if __name__ == "__main__":
    faults = too_long(ROOT) + same_names(ROOT)
    print(*faults, sep="\n", end="\n" if faults else "")  # noqa: T201
    sys.exit(bool(faults))
