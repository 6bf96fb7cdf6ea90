"""The process that asks FFmpeg what a file's tags say; run as a script by `mertag.library.tags.readers`.

Each line of its input is a JSON list: a path, and the name that FFmpeg shall know the file by. Each line of its output
is what it saw, or null.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import av

# Bytes that are not UTF-8 are kept apart. From PyAV 19 on that is so, and cannot be said.
_ANY_TAGS = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}


class _Named:
    """A file under another name: FFmpeg also looks at the suffix."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self.read, self.seek, self.tell = name, file.read, file.seek, file.tell


def seen(path: str, name: str) -> dict[str, str] | None:
    """Return the tags of a file and its streams, digests of its pictures, and its chapters; None if unreadable."""
    try:
        with Path(path).open("rb") as file, av.open(_Named(file, name), **_ANY_TAGS) as container:
            found = dict(container.metadata)
            for stream in container.streams:
                found |= {f"{stream.index}:{key}": value for key, value in stream.metadata.items()}
            pictures = [s for s in container.streams if s.disposition & av.stream.Disposition.attached_pic]
            for i, chapter in enumerate(container.chapters()):
                found[f"chapter {i}"] = f"{chapter['start']} {chapter['end']} {chapter['metadata']}"
            for i, stream in enumerate(pictures):
                content = next((bytes(packet) for packet in container.demux(stream) if packet.size), b"")
                found[f"picture {i}"] = f"{stream.codec_context.name} {hashlib.sha256(content).hexdigest()}"
            return found
    except Exception:  # noqa: BLE001 - whatever a damaged file does to it: this reader cannot read it
        return None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent decides when it ends: then its input does
    av.logging.set_level(av.logging.PANIC)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(seen(*json.loads(line))) + "\n")
        sys.stdout.flush()
