"""MP4: where the new atoms go, what moves, and whether the chunk offsets still point to the audio."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import TagOptions, audio_digest, read_tags, remove_tags, write_tags
from mertag.library.tags.container import MalformedError, Source
from mertag.library.tags.mp4_atoms import Atom, chunk_offsets, top_atoms, tree
from mertag.library.tags.readers import ffmpeg

Song = Callable[[str], Path]


def moov_of(path: Path) -> tuple[list[bytes], Atom]:
    source = Source(io.BytesIO(path.read_bytes()))
    top = top_atoms(source)
    body = next(atom.body for atom in top if atom.name == b"moov")
    return [atom.name for atom in top], tree(source.read(body.start, len(body), "moov"))


def audio_behind_offsets(path: Path) -> list[bytes]:
    """Return the first bytes of each chunk of audio, as the file's own table finds them."""
    data = path.read_bytes()
    tables = [atom for _, atom in moov_of(path)[1].leaves() if atom.name in (b"stco", b"co64")]
    return [data[offset : offset + 16] for table in tables for offset in chunk_offsets(table)]


@pytest.mark.parametrize("name", ["a.m4a", "fast.m4a", "alac.m4a"])
def test_chunk_offsets_point_to_the_same_audio(name: str, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    before, digest = audio_behind_offsets(path), audio_digest(path)
    assert before

    write_tags(path, happy)
    assert audio_behind_offsets(path) == before
    remove_tags(path)
    assert audio_behind_offsets(path) == before
    assert audio_digest(path) == digest


def test_audio_moves_only_if_it_stands_behind_a_header_without_free_space(song: Song, happy: SongEmotion) -> None:
    path = song("fast.m4a")
    assert moov_of(path)[0].index(b"moov") < moov_of(path)[0].index(b"mdat")
    size = path.stat().st_size

    write_tags(path, happy)
    grown = path.stat().st_size
    assert grown > size

    remove_tags(path)
    write_tags(path, happy)
    assert path.stat().st_size == grown


def test_free_space_behind_the_header_is_used(song: Song, happy: SongEmotion) -> None:
    path = song("fast.m4a")
    source = Source(io.BytesIO(path.read_bytes()))
    top = top_atoms(source)
    moov = next(atom for atom in top if atom.name == b"moov")
    free = b"\0\0\x20\x00free" + bytes(0x1FF8)
    data = path.read_bytes()
    path.write_bytes(data[: moov.whole.stop] + free + data[moov.whole.stop :])
    shifted = [o + len(free) for t in offsets(path) for o in chunk_offsets(t)]
    patch(path, shifted)
    names = [n for n in moov_of(path)[0] if n != b"free"]
    before, size = audio_behind_offsets(path), path.stat().st_size

    write_tags(path, happy)

    assert path.stat().st_size == size
    assert [n for n in moov_of(path)[0] if n != b"free"] == names
    assert [o for t in offsets(path) for o in chunk_offsets(t)] == shifted
    assert audio_behind_offsets(path) == before


def offsets(path: Path) -> list[Atom]:
    return [atom for _, atom in moov_of(path)[1].leaves() if atom.name == b"stco"]


def patch(path: Path, values: list[int]) -> None:
    data = path.read_bytes()
    (table,) = offsets(path)
    new = table.prefix[:8] + b"".join(struct.pack(">I", v) for v in values)
    assert data.count(table.prefix) == 1
    path.write_bytes(data.replace(table.prefix, new))


def test_foreign_atoms_stay_byte_for_byte(song: Song, happy: SongEmotion) -> None:
    path = song("a.m4a")
    tagged = MP4(path)
    tagged["covr"] = [MP4Cover(bytes(range(256)) * 5, MP4Cover.FORMAT_PNG)]
    tagged["----:com.apple.iTunes:iTunNORM"] = [b" 0001", b" 0002"]
    tagged["----:org.example:MOOD"] = [b"not the one that players read"]
    tagged["----:com.apple.iTunes:replaygain"] = [MP4FreeForm(b"\0\1\2", dataformat=0)]
    tagged["trkn"] = [(3, 12)]
    tagged.save()
    before = list_of_tags(path)

    write_tags(path, happy)

    after = list_of_tags(path)
    assert after[: len(before)] == before
    assert [atom for atom in after[len(before) :] if b"MERTAG" not in atom and b"MOOD" not in atom] == []
    assert len(after) == len(before) + 6
    remove_tags(path)
    assert list_of_tags(path) == before


def list_of_tags(path: Path) -> list[bytes]:
    items = moov_of(path)[1].child(b"udta").child(b"meta").child(b"ilst")
    return [bytes(atom) for atom in items.children]


def test_a_file_without_any_tags_gets_a_list(song: Song, happy: SongEmotion) -> None:
    path = song("a.m4a")
    data = path.read_bytes()
    _, moov = moov_of(path)
    old = bytes(moov)
    moov.children = [atom for atom in moov.children if atom.name != b"udta"]
    new = bytes(moov)
    assert data.endswith(old)
    path.write_bytes(data[: -len(old)] + new)
    assert MP4(path).tags is None

    write_tags(path, happy)

    assert bytes(MP4(path)["----:com.apple.iTunes:MOOD"][0]) == b"Happy"
    assert read_tags(path)["MERTAG_QUADRANT"] == ("Q1",)


def test_a_fragmented_file_is_tagged_only_where_nothing_moves(song: Song, happy: SongEmotion) -> None:
    path = song("fragmented.m4a")
    before = path.read_bytes()
    with pytest.raises(TagWriteError, match="fragmented"):
        write_tags(path, happy)
    assert path.read_bytes() == before


def test_tags_of_another_kind_are_refused(song: Song, happy: SongEmotion) -> None:
    path = song("a.m4a")
    path.write_bytes(path.read_bytes().replace(b"mdirappl", b"ID32appl"))
    with pytest.raises(TagWriteError, match=r"iTunes.*re-wrap it first"):
        write_tags(path, happy)


@pytest.mark.parametrize("flags", ["use_metadata_tags", "use_metadata_tags+faststart"])
def test_a_list_of_quicktimes_kind_takes_the_tags_and_stays(
    flags: str, song: Song, tmp_path: Path, happy: SongEmotion
) -> None:
    path = rewrapped(song("a.m4a"), tmp_path / "keys.m4a", flags, title="Song", foo="bar")
    old, before, digest = path.read_bytes(), three_readers(path), audio_digest(path)
    assert (before["FFmpeg"]["title"], before["FFmpeg"]["foo"]) == ("Song", "bar")
    assert write_tags(path, happy).changed
    assert_nothing_hidden(before, three_readers(path))
    assert audio_digest(path) == digest
    seen = ffmpeg.seen(path, path.name)
    assert seen is not None
    assert seen["MOOD"] == "Happy"
    assert MP4(path)["----:com.apple.iTunes:MOOD"] == [b"Happy"]
    with pytest.importorskip("taglib").File(path) as file:
        assert file.tags["MOOD"] == ["Happy"]
    remove_tags(path)
    assert three_readers(path) == before
    assert path.read_bytes().count(b"mdta") == old.count(b"mdta")


def test_a_mood_in_a_list_of_quicktimes_kind_is_the_owners(song: Song, tmp_path: Path, happy: SongEmotion) -> None:
    path = rewrapped(song("a.m4a"), tmp_path / "keys.m4a", "use_metadata_tags", mood="Dreamy")
    assert write_tags(path, happy).new["MOOD"] == ("Dreamy",)
    with pytest.raises(TagWriteError, match=r"QuickTime's kind.* re-wrap it first"):
        write_tags(path, happy, TagOptions(overwrite=True))
    remove_tags(path)
    assert read_tags(path) == {"MOOD": ("Dreamy",)}


def rewrapped(old: Path, new: Path, flags: str, **tags: str) -> Path:
    """Return a copy of an MP4 file whose tags are keys and values, as FFmpeg writes them if asked to."""
    with av.open(str(old)) as source, av.open(str(new), "w", format="ipod", options={"movflags": flags}) as copy:
        stream = copy.add_stream_from_template(source.streams.audio[0])
        copy.metadata.update(tags)
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return new


@pytest.mark.parametrize("cut", [1, 20, 400, 5000])
def test_a_truncated_file_is_refused(cut: int, song: Song, happy: SongEmotion) -> None:
    path = song("fast.m4a")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(TagWriteError, match="truncated"):
        write_tags(path, happy)


def atom(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (atom(b"trak", b"\0\0\0\x04free"), "no valid size"),
        (atom(b"udta", b"\xff\xff\xff\xfffree"), "no valid size"),
        (atom(b"free", b"") * 100_001, "no valid size"),
    ],
)
def test_damaged_headers_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        tree(data)


def test_a_table_of_offsets_that_lies_about_its_length_is_refused() -> None:
    with pytest.raises(MalformedError, match="wrong length"):
        chunk_offsets(Atom(b"stco", struct.pack(">II", 0, 2**31) + bytes(8)))


def test_a_tree_of_atoms_is_the_bytes_that_it_was_read_from() -> None:
    meta = atom(b"meta", bytes(4) + atom(b"hdlr", bytes(25)) + atom(b"ilst", atom(b"----", b"x")))
    data = atom(b"trak", atom(b"mdia", b"")) + atom(b"udta", meta + bytes(4)) + atom(b"meta", b"opaque")
    assert bytes(tree(data)) == atom(b"moov", data)
