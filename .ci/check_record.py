"""Check what ``mertag tag --write-id3 --jsonl -`` said of one song, and wrote into it.

Usage: python check_record.py JSONL SONG. It also checks that tagging loads no part of the training stack.
"""

import json
import sys
from pathlib import Path

import av

FORBIDDEN = ("torch", "librosa", "sklearn", "onnx", "matplotlib")


def check(lines: list[str], song: str) -> None:
    """Raise AssertionError unless there is one record of a tagged song, and the song's tags agree with it."""
    assert len(lines) == 1, f"{len(lines)} records for one song"
    record = json.loads(lines[0])
    assert record["status"] == "tagged", record
    assert Path(record["path"]).name == Path(song).name, record
    quadrant = record["emotion"]["quadrant"]
    assert quadrant in ("Q1", "Q2", "Q3", "Q4"), record
    with av.open(song) as opened:
        tags = opened.metadata
    assert tags["MERTAG_QUADRANT"] == quadrant, tags
    assert tags["MERTAG_MODEL"] == record["model"], tags
    assert tags["MOOD"] == record["emotion"]["label"], tags


def tag_in_this_process(song: str) -> None:
    """Tag a song, and raise AssertionError if that loaded the training stack."""
    import mertag

    with mertag.Tagger(workers=0) as tagger:
        tagger.tag(song)
    loaded = [name for name in FORBIDDEN if name in sys.modules]
    assert not loaded, f"tagging loads {', '.join(loaded)}"


if __name__ == "__main__":
    check(Path(sys.argv[1]).read_text(encoding="ascii").splitlines(), sys.argv[2])
    tag_in_this_process(sys.argv[2])
