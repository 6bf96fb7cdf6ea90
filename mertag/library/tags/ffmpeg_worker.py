"""The process that asks FFmpeg what a file's tags say; run as a script by `mertag.library.tags.readers`.

Each line of its input is a JSON list: a path, and the name that FFmpeg shall know the file by. Each line of its output
is what it saw; null of a file that it cannot read; and a text where the fault is not the file's.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import av

# So that tags in any encoding are read. From PyAV 19 on they are, and it cannot be asked for.
_ANY_TAGS = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}
# What the samples of a WAV file are (they may be DTS) says nothing of its tags, and takes longer than all else.
_NO_GUESSES = {"max_probe_packets": "1"}
# What a file may be blamed for; all else is a mistake of ours, or a PyAV that has changed.
_UNREADABLE = (av.FFmpegError, OSError, ValueError, LookupError, ArithmeticError, MemoryError)


class _Named:
    """A file under another name: FFmpeg also looks at the suffix."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self.read, self.seek, self.tell = name, file.read, file.seek, file.tell


def seen(path: str, name: str) -> dict[str, str] | None:
    """Return the tags of a file and its streams, digests of its pictures, and its chapters; None if unreadable."""
    try:
        with Path(path).open("rb") as file, av.open(_Named(file, name), options=_NO_GUESSES, **_ANY_TAGS) as container:
            found = dict(container.metadata)
            for stream in container.streams:
                found |= {f"{stream.index}:{key}": value for key, value in stream.metadata.items()}
            pictures = [s for s in container.streams if s.disposition & av.stream.Disposition.attached_pic]
            for i, chapter in enumerate(container.chapters()):
                found[f"chapter {i}"] = f"{chapter['start']} {chapter['end']} {chapter['metadata']}"
            for i, stream in enumerate(pictures):
                content = next((bytes(packet) for packet in container.demux(stream) if packet.size), b"")
                codec = stream.codec_context.name if stream.codec_context else "unknown"
                found[f"picture {i}"] = f"{codec} {hashlib.sha256(content).hexdigest()}"
            return {_plain(key): _plain(value) for key, value in found.items()}
    except _UNREADABLE:
        return None


def _plain(text: str) -> str:
    """Return a text with U+FFFD for each byte that is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def answer(line: str) -> dict[str, str] | str | None:
    """Return what a line of output shall say to a line of input."""
    try:
        return seen(*json.loads(line))
    except Exception as error:  # noqa: BLE001 - whatever it is: a check that is left out must not go unsaid
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent decides when it ends: then its input does
    av.logging.set_level(av.logging.PANIC)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()
