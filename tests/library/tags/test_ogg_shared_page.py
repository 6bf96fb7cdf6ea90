"""Ogg files whose audio begins on the page on which the headers end: a write gives it a page of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.state.delta import make_delta, old_pieces, read_pieces
from mertag.library.tags import audio_digest, ogg, read_tags, remove_tags, write_tags
from mertag.library.tags.container import Source
from mertag.library.tags.ogg import Page, pages, render_page

Song = Callable[[str], Path]
CONTINUED, END = 1, 4
NOTHING_ENDS = 2**64 - 1


def split(data: bytes) -> list[tuple[Page, bytes]]:
    """Return the pages of a file, each with its body."""
    source = Source(io.BytesIO(data))
    return [(page, source.peek(page.body.start, len(page.body))) for page in pages(source, 0)]


def granule(page: Page) -> int:
    return int.from_bytes(page.header[6:14], "little")


def laid_out(parts: Sequence[tuple[int, int, bytes, bytes]], serial: int) -> bytes:
    """Return pages of one stream: flags, granule position, segments and body of each."""
    made = [
        render_page(flags=flags, granule=position, serial=serial, number=i, lacing=lacing, body=body)
        for i, (flags, position, lacing, body) in enumerate(parts)
    ]
    return b"".join(made)


def sharing(path: Path, segments: int | None = None) -> Path:
    """Put the first segments of the audio, None: its first page, on the page on which the headers end.

    The first packet of Vorbis gives no samples, and the head of a packet has no position: that of the page stays 0.
    """
    found = split(path.read_bytes())
    with path.open("rb") as file:
        stop = ogg.read(Source(file)).before[-1].stop
        last = next(i for i, (page, _) in enumerate(found) if page.stop == stop)
    while not granule(found[last + 1][0]):  # headers of FLAC and Vorbis may have more pages
        last += 1
    parts = [(page.flags, granule(page), page.lacing, body) for page, body in found]
    headers, audio = parts[last], parts[last + 1]
    count = len(audio[2]) if segments is None else segments
    size = sum(audio[2][:count])
    moved, rest = (audio[2][:count], audio[3][:size]), (audio[2][count:], audio[3][size:])
    assert len(headers[2]) + count <= 255
    whole = not rest[0]
    flags, position = (audio[0] & END, audio[1]) if whole else (0, 0)
    shared = (flags, position, headers[2] + moved[0], headers[3] + moved[1])
    left = [] if whole else [(audio[0] | (CONTINUED if moved[0][-1] == 255 else 0), audio[1], *rest)]
    path.write_bytes(laid_out([*parts[:last], shared, *left, *parts[last + 2 :]], found[0][0].serial))
    return path


def decoded(path: Path) -> np.ndarray:
    """Return all samples, as FFmpeg's libraries decode them."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def assert_sound(path: Path, serial: int | None = None) -> list[Page]:
    """Check the pages of a stream: checksums, numbers, order of packets, and no audio on a page of the headers."""
    data = path.read_bytes()
    source = Source(io.BytesIO(data))
    found = [page for page, _ in split(data)]
    assert found[-1].stop == len(data)
    assert all(page.intact(source) for page in found)
    mine = [page for page in found if page.serial == (found[0].serial if serial is None else serial)]
    assert [page.number for page in mine] == list(range(len(mine)))
    open_packet = False
    for page in mine:
        assert bool(page.flags & CONTINUED) == open_packet
        assert (granule(page) == NOTHING_ENDS) == (all(value == 255 for value in page.lacing) and bool(page.lacing))
        open_packet = page.lacing[-1] == 255 if page.lacing else open_packet
    with path.open("rb") as file:
        assert ogg.read(Source(file)).audio == b""
    return mine


@pytest.mark.parametrize(
    ("name", "segments"),
    [
        pytest.param("a.ogg", None, id="vorbis: a page of packets"),
        pytest.param("a.ogg", 1, id="vorbis: the first packet"),
        pytest.param("a.opus", None, id="opus: a page of packets"),
        pytest.param("a.oga", None, id="flac: a page of packets"),
        pytest.param("a.oga", 1, id="flac: the head of a packet"),
    ],
)
def test_the_audio_gets_a_page_of_its_own(name: str, segments: int | None, song: Song, happy: SongEmotion) -> None:
    plain = decoded(song(name))
    path = song(name)
    sharing(path, segments)
    with path.open("rb") as file:
        assert ogg.read(Source(file)).audio
    old, seen, digest, count = path.read_bytes(), three_readers(path), audio_digest(path), len(split(path.read_bytes()))
    samples = decoded(path)
    assert np.array_equal(samples[:, : plain.shape[1]], plain)
    deltas: list[bytes] = []

    def note(one: Path, other: Path) -> None:
        with one.open("rb") as a, other.open("rb") as b:
            deltas.append(make_delta(a, b))

    write_tags(path, happy, before_replace=note)

    assert len(assert_sound(path)) == count + 1
    assert read_tags(path)["MOOD"] == ("Happy",)
    assert_nothing_hidden(seen, three_readers(path))
    assert audio_digest(path) == digest
    assert np.array_equal(decoded(path), samples)
    with path.open("rb") as new:
        assert b"".join(read_pieces(old_pieces(deltas[0], new), new)) == old  # what undo gives back

    remove_tags(path)

    assert len(assert_sound(path)) == count + 1
    assert "MOOD" not in read_tags(path)
    assert_nothing_hidden(seen, three_readers(path))
    assert audio_digest(path) == digest
    assert np.array_equal(decoded(path), samples)


def test_the_granule_position_goes_with_the_audio(song: Song, happy: SongEmotion) -> None:
    path = sharing(song("a.opus"))
    shared = next(page for page, _ in split(path.read_bytes()) if granule(page))

    write_tags(path, happy)

    found = assert_sound(path)
    own = next(page for page in found if granule(page))
    assert granule(own) == granule(shared)
    assert own.number == shared.number + 1


def test_an_end_of_the_stream_on_the_shared_page_goes_with_the_audio(song: Song, happy: SongEmotion) -> None:
    path = song("a.opus")
    found = split(path.read_bytes())
    head = [(page.flags, granule(page), page.lacing, body) for page, body in found[:2]]
    audio = next(i for i, (page, _) in enumerate(found) if granule(page))
    assert audio == 2
    page, body = found[audio]
    merged = (END, granule(page), head[1][2] + page.lacing, head[1][3] + body)
    second = path.read_bytes()  # a chained stream, with the same serial number
    path.write_bytes(laid_out([head[0], merged], page.serial) + second)
    digest = audio_digest(path)

    write_tags(path, happy)

    after = path.read_bytes()
    assert after.endswith(second)
    [*_, comment, own] = split(after[: -len(second)])
    assert (comment[0].flags, own[0].flags, granule(own[0])) == (0, END, granule(page))
    assert audio_digest(path) == digest


def test_streams_beside_it_stay_as_they_are(song: Song, happy: SongEmotion) -> None:
    path = sharing(song("a.ogg"))
    data = path.read_bytes()
    raw = [data[page.start : page.stop] for page, _ in split(data)]
    other = [
        render_page(flags=2 * (i == 0), granule=0, serial=7, number=i, lacing=bytes((9,)), body=b"kate data")
        for i in range(len(raw))
    ]
    path.write_bytes(b"".join(a + b for a, b in zip(raw, other, strict=True)))
    digest = audio_digest(path)

    write_tags(path, happy)

    after = path.read_bytes()
    assert [after[page.start : page.stop] for page, _ in split(after) if page.serial == 7] == other
    assert len(assert_sound(path)) == len(raw) + 1
    assert audio_digest(path) == digest


def test_a_file_with_a_damaged_page_behind_it_is_refused_untouched(song: Song, happy: SongEmotion) -> None:
    path = sharing(song("a.ogg"))
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)

    with pytest.raises(TagWriteError, match="checksum"):
        write_tags(path, happy)
    assert path.read_bytes() == data


def test_another_sample_of_the_moved_audio_is_another_digest(song: Song) -> None:
    path = sharing(song("a.ogg"))
    digest = audio_digest(path)
    parts = [(page.flags, granule(page), page.lacing, body) for page, body in split(path.read_bytes())]
    shared = next(i for i, part in enumerate(parts) if part[1])
    flags, position, lacing, body = parts[shared]
    parts[shared] = (flags, position, lacing, body[:-1] + bytes((body[-1] ^ 1,)))
    path.write_bytes(laid_out(parts, split(path.read_bytes())[0][0].serial))

    assert audio_digest(path) != digest
