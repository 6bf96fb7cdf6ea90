"""Whatever others wrote into a song (in any script, huge, twice, malformed), it stays byte for byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from crafted_songs import ape_tag, id3v1
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import TagOptions, audio_digest, ogg, read_tags, remove_tags, write_tags
from mertag.library.tags.container import Entry, Source
from mertag.library.tags.mp4_atoms import Atom, move_chunks, tree
from mertag.library.tags.options import KEYS

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("fast_disk")]
Encoded = Callable[[str], Path]
often = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

huge = st.sampled_from([b"\xff" * 200_000, b"\x00" * 70_000, b"MOOD=Happy\0" * 9_000])
odd = st.sampled_from([b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"TAG", b"APETAGEX", b"ID3\x04\0\0", b"OggS", b"fLaC"])
content = st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")) | odd | huge
TWO_MOODS = TagOptions(moods=2)


def tagged_and_back(path: Path, data: bytes, kept: list[bytes], happy: SongEmotion, sad: SongEmotion) -> None:
    """Check that `kept` stand in the file, in this order, after every kind of write."""
    path.write_bytes(data)
    digest, before = audio_digest(path), dict(read_tags(path))
    assert not set(before) & {key for key in KEYS if key != "MOOD"}
    for write in (
        lambda: write_tags(path, happy),
        lambda: write_tags(path, sad, TWO_MOODS),
        lambda: remove_tags(path),
    ):
        data, refusal = path.read_bytes(), ""
        try:
            assert write().changed
        except TagWriteError as error:  # an empty tag, for one, would then hide the one at the end
            refusal = str(error)
        if refusal:
            assert "FFmpeg" in refusal or "a third reader (mutagen)" in refusal
            assert path.read_bytes() == data
            return
        new, position = path.read_bytes(), 0
        for raw in kept:
            position = new.index(raw, position) + len(raw)
        assert audio_digest(path) == digest
    assert read_tags(path) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def not_ours(name: str) -> bool:
    return name.upper() not in (*KEYS, "TMOO")


# Vorbis comments

comments = st.lists(
    content.filter(lambda raw: not raw.upper().startswith(tuple(f"{key}=".encode() for key in KEYS)))
    | st.tuples(st.text("abcXYZ ~!", max_size=8), content).map(lambda pair: pair[0].encode() + b"=" + pair[1]),
    max_size=6,
).map(lambda found: found + found[:2])  # some twice


def block(found: list[bytes]) -> bytes:
    parts = [struct.pack("<I", len(raw)) + raw for raw in found]
    return struct.pack("<I", 7) + b"someone" + struct.pack("<I", len(parts)) + b"".join(parts)


@often
@given(
    found=comments, others=st.lists(st.tuples(st.integers(7, 126), content), max_size=3), padding=st.integers(0, 400)
)
def test_comments_and_blocks_of_flac(
    found: list[bytes],
    others: list[tuple[int, bytes]],
    padding: int,
    encoded: Encoded,
    tmp_path: Path,
    happy: SongEmotion,
    sad: SongEmotion,
) -> None:
    flac = encoded("a.flac").read_bytes()
    position, last = 4, 0
    while not last:
        last = flac[position] & 0x80
        position += 4 + int.from_bytes(flac[position + 1 : position + 4], "big")
    blocks = [(0, flac[8:42]), (4, block(found or [b"TITLE=x"])), *others, (1, bytes(padding))]
    raw = [bytes((kind,)) + len(body).to_bytes(3, "big") + body for kind, body in blocks]
    raw[-1] = bytes((raw[-1][0] | 0x80,)) + raw[-1][1:]
    data = b"fLaC" + b"".join(raw) + flac[position:]
    kept = [raw[0], *[struct.pack("<I", len(c)) + c for c in found], *raw[2:-1], flac[position:]]
    tagged_and_back(tmp_path / "song", data, kept, happy, sad)


@often
@given(found=comments, name=st.sampled_from(["a.ogg", "a.opus", "a.oga", "a.spx"]))
def test_comments_of_ogg(
    found: list[bytes], name: str, encoded: Encoded, tmp_path: Path, happy: SongEmotion, sad: SongEmotion
) -> None:
    source = Source(io.BytesIO(encoded(name).read_bytes()))
    old = ogg.read(source)
    entries = tuple(Entry(None, (), struct.pack("<I", len(raw)) + raw) for raw in found)
    pieces = replace(old, comment=replace(old.comment, entries=entries)).rebuilt({})
    data = b"".join(p if isinstance(p, bytes) else source.peek(p.start, len(p)) for p in pieces)
    path = tmp_path / "song"
    tagged_and_back(path, data, [], happy, sad)
    with path.open("rb") as file:  # a comment may be cut in two by a page: compare the packets
        new = ogg.read(Source(file))
    assert [entry.raw for entry in new.comment.entries] == [entry.raw for entry in entries]
    assert (new.comment.vendor, new.comment.tail, new.others) == (old.comment.vendor, old.comment.tail, old.others)


# ID3

ids = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=4, max_size=4).filter(not_ours)


def id3(version: int, frames: list[tuple[str, bytes]], padding: int) -> tuple[bytes, list[bytes]]:
    raw = []
    for name, body in frames:
        if version == 2:
            raw.append(name[:3].encode() + len(body).to_bytes(3, "big") + body)
            continue
        n = len(body)
        size = n.to_bytes(4, "big") if version == 3 else bytes(n >> shift & 0x7F for shift in (21, 14, 7, 0))
        raw.append(name.encode() + size + bytes(2) + body)
    tag = b"".join(raw) + bytes(padding)
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes((version, 0, 0)) + size + tag, raw


@often
@given(
    version=st.sampled_from([2, 3, 4]),
    frames=st.lists(
        st.tuples(ids | st.sampled_from(["TXXX", "TYER", "TIT2", "COMM", "CHAP", "APIC"]), content.filter(bool)),
        max_size=5,
    ).map(lambda found: found + found[:1]),
    padding=st.sampled_from([0, 10, 2000]),
    tail=st.sampled_from([b"", id3v1(), ape_tag(Title="x", Mood="Dreamy"), ape_tag(Title="x") + id3v1()]),
)
def test_frames_of_id3_and_the_tags_behind_the_audio(
    version: int,
    frames: list[tuple[str, bytes]],
    padding: int,
    tail: bytes,
    encoded: Encoded,
    tmp_path: Path,
    happy: SongEmotion,
    sad: SongEmotion,
) -> None:
    tag, raw = id3(version, frames, padding)
    audio = encoded("bare.mp3").read_bytes()
    kept = [bytes((version,)), b"".join(raw), audio + tail] if raw else [audio + tail]  # an empty tag goes whole
    tagged_and_back(tmp_path / "song", tag + audio + tail, kept, happy, sad)


# APEv2

keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=2, max_size=12).filter(not_ours)


@often
@given(
    items=st.lists(st.tuples(keys, content, st.integers(0, 7)), max_size=6).map(lambda found: found + found[:1]),
    tail=st.sampled_from([b"", id3v1()]),
    name=st.sampled_from(["a.wv", "a.ape", "sv7.mpc", "sv8.mpc"]),
)
def test_items_of_ape(
    items: list[tuple[str, bytes, int]],
    tail: bytes,
    name: str,
    encoded: Encoded,
    tmp_path: Path,
    happy: SongEmotion,
    sad: SongEmotion,
) -> None:
    audio = encoded(name).read_bytes()
    audio = audio[: audio.index(b"APETAGEX")]
    raw = [struct.pack("<II", len(value), flags) + key.encode() + b"\0" + value for key, value, flags in items]
    ends = [
        b"APETAGEX" + struct.pack("<IIIIQ", 2000, sum(map(len, raw)) + 32, len(raw), 1 << 31 | flag, 0)
        for flag in (1 << 29, 0)
    ]
    kept = [audio, b"".join(raw), tail]
    tagged_and_back(tmp_path / "song", audio + ends[0] + b"".join(raw) + ends[1] + tail, kept, happy, sad)


# MP4

texts = st.text(max_size=10).map(lambda text: text.encode("utf-8", "replace"))


def free_form(mean: bytes, name: bytes, values: list[bytes]) -> bytes:
    parts = [(b"mean", bytes(4) + mean), (b"name", bytes(4) + name)]
    parts += [(b"data", struct.pack(">II", 1, 0) + value) for value in values]
    return b"".join(struct.pack(">I", 8 + len(body)) + kind + body for kind, body in parts)


# Atoms that readers take for containers wherever they stand; garbage in one of them hides what follows from mutagen, so
# that such a file is refused.
CONTAINERS = (b"moov", b"udta", b"trak", b"mdia", b"meta", b"ilst", b"stbl", b"minf", b"moof", b"traf")


@often
@given(
    atoms=st.lists(
        st.tuples(st.binary(min_size=4, max_size=4).filter(lambda n: n not in (b"----", *CONTAINERS)), content)
        | st.tuples(st.just(b"----"), content | st.builds(free_form, texts, texts, st.lists(content, max_size=3))),
        max_size=5,
    ).map(lambda found: found + found[:1]),
    name=st.sampled_from(["a.m4a", "fast.m4a"]),
)
@example(atoms=[(b"stco", b"not a table"), (b"saio", b"")], name="fast.m4a")
def test_atoms_of_mp4(
    atoms: list[tuple[bytes, bytes]],
    name: str,
    encoded: Encoded,
    tmp_path: Path,
    happy: SongEmotion,
    sad: SongEmotion,
) -> None:
    data = encoded(name).read_bytes()
    start = data.index(b"moov") - 4
    stop = start + int.from_bytes(data[start : start + 4], "big")
    moov = tree(data[start + 8 : stop])
    items = moov.child(b"udta").child(b"meta").child(b"ilst")  # type: ignore[union-attr]
    items.children = [Atom(kind, body) for kind, body in atoms]
    grown = len(bytes(moov)) - (stop - start)
    move_chunks(moov, lambda offset: offset + grown if offset >= stop else offset)
    data = data[:start] + bytes(moov) + data[stop:]
    kept = [b"".join(struct.pack(">I", 8 + len(body)) + kind + body for kind, body in atoms)]
    tagged_and_back(tmp_path / "song", data, kept, happy, sad)


# ASF


@often
@given(
    found=st.lists(
        st.tuples(st.text(max_size=10).filter(not_ours), st.integers(0, 6), content.filter(lambda c: len(c) < 65_000)),
        max_size=5,
    ).map(lambda found: found + found[:1])
)
def test_descriptors_of_asf(
    found: list[tuple[str, int, bytes]], encoded: Encoded, tmp_path: Path, happy: SongEmotion, sad: SongEmotion
) -> None:
    wma = encoded("a.wma").read_bytes()
    length = int.from_bytes(wma[16:24], "little")
    extended = UUID("D2D0A440-E307-11D2-97F0-00A0C95EA850").bytes_le
    objects, position = [], 30
    while position < length:
        size = int.from_bytes(wma[position + 16 : position + 24], "little")
        if wma[position : position + 16] != extended:
            objects.append(wma[position : position + size])
        position += size
    raw = []
    for name, kind, value in found:
        text = name.encode("utf-16-le", "replace") + b"\0\0"
        raw.append(struct.pack("<H", len(text)) + text + struct.pack("<HH", kind, len(value)) + value)
    body = struct.pack("<H", len(raw)) + b"".join(raw)
    objects.append(extended + struct.pack("<Q", 24 + len(body)) + body)
    header = wma[:16] + struct.pack("<QI", 30 + sum(map(len, objects)), len(objects)) + wma[28:30]
    kept = [b"".join(raw), wma[length:]]
    tagged_and_back(tmp_path / "song", header + b"".join(objects) + wma[length:], kept, happy, sad)


# RIFF and IFF

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=4, max_size=4)
chunk_ids = printable.filter(lambda n: n.upper() not in ("ID3 ", "DATA", "SSND", "FMT ", "COMM")).map(str.encode)
lists = st.tuples(st.sampled_from([b"LIST", b"RIFF"]), content.map(lambda c: b"INFO" + c))
chunks = st.lists(st.tuples(chunk_ids, content) | lists, max_size=4)


@often
@given(before=chunks, after=chunks, name=st.sampled_from(["a.wav", "a.aiff"]))
def test_chunks_of_wav_and_aiff(
    before: list[tuple[bytes, bytes]],
    after: list[tuple[bytes, bytes]],
    name: str,
    encoded: Encoded,
    tmp_path: Path,
    happy: SongEmotion,
    sad: SongEmotion,
) -> None:
    file = encoded(name).read_bytes()
    order = "<I" if name == "a.wav" else ">I"
    audio = file.index(b"data" if name == "a.wav" else b"SSND")
    size = struct.unpack(order, file[audio + 4 : audio + 8])[0]

    def laid(found: list[tuple[bytes, bytes]]) -> bytes:
        return b"".join(n + struct.pack(order, len(c)) + c + b"\0" * (len(c) % 2) for n, c in found)

    body = file[8:audio] + laid(before) + file[audio : audio + 8 + size + size % 2] + laid(after)
    data = file[:4] + struct.pack(order, len(body)) + body
    tagged_and_back(tmp_path / "song", data, [body], happy, sad)
