"""`mertag` run to its end in the process of the tests: it spares what Python takes to start and to import.

What belongs to a process is not in it: its signals, its limits, streams that are closed or full, and how it ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from typer.testing import CliRunner

from mertag.cli.app import app

Ended = subprocess.CompletedProcess[bytes]


def run_here(*args: object, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
    """Run `mertag` with the model, the decoders and the tags of any run; an error that is not its own is raised."""
    done = CliRunner().invoke(app, list(map(str, args)), input=stdin, env=env, catch_exceptions=False)
    return subprocess.CompletedProcess(args, done.exit_code, done.stdout_bytes, done.stderr_bytes)
