"""The command that adds an extra to mertag where it is installed: in a checkout, by pipx, by uv, by pip."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def install_command(extra: str) -> str:
    """Return what to call, in a shell, so that this very environment has the packages of an extra."""
    origin = _origin()
    path = unquote(urlsplit(origin.get("url", "")).path) if origin.get("url", "").startswith("file:") else ""
    what = shlex.quote(f"{path or 'mertag'}[{extra}]")
    if "dir_info" in origin and origin["dir_info"].get("editable"):
        what = f"--editable {what}"
    if (Path(sys.prefix) / "pipx_metadata.json").exists():
        return f"pipx install --force {what}"
    if (Path(sys.prefix) / "uv-receipt.toml").exists():
        return f"uv tool install --force {what}"
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {python} {what}"
    return f"{python} -m pip install {what}"


def _origin() -> dict[str, Any]:
    """Return what the installer noted of where mertag came from; nothing if it came from an index."""
    try:
        noted = metadata.distribution("mertag").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, Any] = json.loads(noted) if noted else {}
    return found
