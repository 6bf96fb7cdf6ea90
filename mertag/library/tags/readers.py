"""The second check of a new copy: what FFmpeg's libraries, with which many players read tags, see in it.

The first one reads a copy with the code that wrote it; a mistake in that code could pass it. FFmpeg shares no code with
mertag. What it saw of others' tags, pictures and chapters in the old file, it must see in the new one: a new tag can
hide older ones, and an edited one may no longer be found; only a reader that decides which of several tags counts can
tell. And it must see mertag's own fields as they were planned.

It may crash on hostile files, so it runs in a process of its own, which is started again when it dies, or takes too
long.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from mertag.library.tags.comment import OPENING
from mertag.library.tags.container import Container, Fields
from mertag.library.tags.id3_tag import BEHIND, TaggedById3
from mertag.library.tags.options import KEYS, MOOD

LIMIT_S = 20.0
"""So long FFmpeg may look at one file."""

_TEXTS = ("ID3 frame ", "item ", "comment ")
"""How containers call the texts of others', where FFmpeg may be blind to them."""

_SAME = {"year": "date", "tyer": "date", "tdrc": "date", "tracknumber": "track", "discnumber": "disc"}


class FFmpegReader:
    """A process that reads tags with FFmpeg. May be used from several threads; ends with its parent."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0  # the process that started it

    def seen(self, path: Path, name: str) -> Mapping[str, str] | None:
        """Return what FFmpeg sees in a file that it knows as `name`; None if it cannot read it, or did not in time.

        RuntimeError is raised where that is not the file's fault: a check that cannot be made is not passed.
        """
        with self._lock:
            if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
                self._process, self._owner = _start(), os.getpid()  # a forked process must not share the pipes
            process = self._process
            assert process.stdin is not None  # both are pipes
            assert process.stdout is not None
            timer = threading.Timer(self._limit_s, process.kill)
            timer.start()
            try:
                process.stdin.write(json.dumps([str(path), name]) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError:  # it died
                answer = ""
            finally:
                timer.cancel()
            if not answer:
                process.kill()
                process.communicate()
                return None
            found: dict[str, str] | str | None = json.loads(answer)
            if isinstance(found, str):
                raise RuntimeError(f"FFmpeg's reader of tags failed: {found}")  # noqa: TRY004 - no type of ours is wrong
            return found


def _start() -> subprocess.Popen[str]:
    worker = Path(__file__).with_name("ffmpeg_worker.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(worker)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="ascii",
        # Ctrl-C is for the run, which finishes its song: a process group of its own keeps it from this process.
        process_group=None if sys.platform == "win32" else 0,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    atexit.register(_end, process, os.getpid())
    return process


def _end(process: subprocess.Popen[str], owner: int) -> None:
    """End a reader with the process that started it: it must not outlive a run."""
    if os.getpid() == owner:
        process.kill()
        process.wait()


ffmpeg = FFmpegReader()
"""The reader of this process."""


def hidden(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> str:
    """Return what FFmpeg saw of others' tags in the old file and does not see in the new one; empty if nothing.

    A value may stand under another name (each kind of tag has its own), and may be the whole of what was cut off.
    """
    if before is None:
        return ""
    if after is None:
        return "FFmpeg, with which many players read tags, could read the old file and could not read the new one"
    found = {_plain(key): value for key, value in after.items()}
    for key, value in before.items():
        now = found.get(_plain(key))
        kept = any(_says(text, value.strip()) for text in (after.values() if now is None else (now,)))
        if not kept and not _ours(key, value):
            return (
                f"FFmpeg, with which many players read tags, saw {key!r} in the old file as {value[:40]!r} and would "
                f"see {'nothing' if now is None else repr(now[:40])} in the new one, where one tag hides another; "
                "make its tags alike first, or remove all but one"
            )
    return ""


def unseen(after: Mapping[str, str] | None, old: Fields, new: Fields) -> str:
    """Return which field that changes FFmpeg sees other than planned in the new file; empty if none.

    Of several values it may show all, or one. A file that it cannot read tells nothing.
    """
    shown: dict[str, list[str]] = {}
    for key, value in (after or {}).items():
        shown.setdefault(_field(key), []).append(value.strip())
    for key, values in new.items() if after is not None else ():
        if key in KEYS and values != old.get(key) and not {*values, ";".join(values)} & {*shown.get(key, ())}:
            seen = f"as {shown[key][0][:40]!r}" if key in shown else "not at all"
            return f"FFmpeg, with which many players read tags, would see {key} {seen}, and not as {';'.join(values)!r}"
    return ""


def blind_to(before: Mapping[str, str] | None, container: Container) -> bool:
    """Return whether FFmpeg does not look where a file's tags stand.

    It saw nothing where there are texts of others'. Of a WAV file it shows LIST INFO, and no ID3 tag beside it; of AAC
    and True Audio an ID3v1 or APE tag at the end, and no ID3v2 tag in front; of an APE tag with an ID3v1 tag behind it,
    the latter; of an unsynchronised ID3v2.3 tag, what stands before FF 00.
    """
    if before is None:
        return True
    seen = any(_field(key) != "ENCODER" for key in before)
    if isinstance(container, TaggedById3):
        if container.name.startswith("WAV") or container.tag.unsynchronised:
            return seen or container.tag.unsynchronised
        if container.kind in ("AAC", "True Audio") and any(
            name == BEHIND and len(piece) for name, piece in container.foreign()
        ):
            return True
        return not seen and container.tag.length > 0 and _has_texts(container)
    if any(name == "ID3v1 tag" and len(piece) for name, piece in container.foreign()):
        return True
    return not seen and _has_texts(container)


def _has_texts(container: Container) -> bool:
    names = (name for name, piece in container.foreign() if len(piece))
    return any(name.startswith(_TEXTS) and not name.endswith(("ENCODER", "header")) for name in names)


def _field(key: str) -> str:
    """Return the field that FFmpeg shows under a name."""
    name = key.rpartition(":")[2].upper().removeprefix("WM/").replace("/", "_")
    return MOOD if name == "TMOO" else name


def _says(text: str, value: str) -> bool:
    """Return whether a text begins with a value; where a byte of that was no UTF-8, any character will do."""
    text = text.strip()
    return len(text) >= len(value) and all(b in (a, "\ufffd") for a, b in zip(text, value, strict=False))


def _plain(key: str) -> str:
    key = key.lower().replace("_", "").replace(" ", "")
    return _SAME.get(key, key)


def _ours(key: str, value: str) -> bool:
    """Return whether a value may change: of a comment with a mood, the rest is compared as bytes elsewhere."""
    name = _field(key)
    return name in KEYS or (name in ("COMMENT", "DESCRIPTION") and OPENING in value)
