"""Complete a CycloneDX bill of materials by what the wheel brings beside Python packages, and print it.

Usage: python .ci/bill_of_materials.py ENVIRONMENT.json, made by ``cyclonedx-py environment``. It adds the script that
the page of a library carries, and the files of the bundled model, by their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "mertag"


def _sha256(path: Path) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def carried() -> list[dict[str, Any]]:
    """Return the components inside the wheel that are no Python packages."""
    script = PACKAGE / "library" / "page" / "assets" / "uPlot.iife.min.js"
    stated = re.search(r"uPlot.*?\(v([\d.]+)\)", script.read_text(encoding="utf-8"))
    if stated is None:
        raise ValueError(f"{script.name} does not state its version")
    plot = {
        "type": "library",
        "bom-ref": f"pkg:npm/uplot@{stated[1]}",
        "name": "uplot",
        "version": stated[1],
        "purl": f"pkg:npm/uplot@{stated[1]}",
        "licenses": [{"license": {"id": "MIT"}}],
        "hashes": _sha256(script),
    }
    folder = PACKAGE / "models" / "default"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    model = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{manifest['name']}",
        "name": manifest["name"],
        "version": manifest["version"],
        "licenses": [{"license": {"name": "LicenseRef-mertag-weights-research-only"}}],
        "components": [
            {"type": "file", "bom-ref": f"file:{path.name}", "name": path.name, "hashes": _sha256(path)}
            for path in sorted(folder.iterdir())
        ],
    }
    return [plot, model]


def complete(bill: dict[str, Any]) -> dict[str, Any]:
    """Return a bill with the components of `carried` in it, and the version of mertag itself."""
    metadata = bill["metadata"]
    version = runpy.run_path(str(PACKAGE / "_version.py"))["__version__"]
    itself = metadata["component"] | {"version": version}
    return bill | {
        "metadata": metadata | {"component": itself},
        "components": [*bill["components"], *carried()],
    }


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(complete(given), indent=2))  # noqa: T201
