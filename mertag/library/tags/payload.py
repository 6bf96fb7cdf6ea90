"""Digests of the audio and of what is foreign: whether a new file holds what the old one held.

What counts as the audio, by container:

================  ===================================================================================
MP3, AAC, TTA     frames between the ID3v2 tag and the tags behind them
FLAC              everything after the metadata
Ogg               all pages but those of the comment; of the stream's own, no numbers and checksums
MP4               the content of every ``mdat``; the chunk offsets, relative to it, count as foreign
WAV, AIFF         the content of ``data`` or ``SSND``, and the format (``fmt`` or ``COMM``)
DSF               the format and the data chunk
APEv2             everything before the tag
ASF               everything after the header
================  ===================================================================================
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, cast

from mertag.errors import TagWriteError, UnsupportedFormatError
from mertag.library.tags.container import Container, MalformedError, NoTagFormatError, Piece, Source
from mertag.library.tags.detect import open_container

_INLINE_BYTES = 64


def payload_digest(source: Source, container: Container) -> str:
    """Return the BLAKE2b digest of the audio, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=32)
    for piece in container.payload():
        _update(digest, source, piece)
    return digest.hexdigest()


def foreign_digests(source: Source, container: Container) -> list[tuple[str, bytes]]:
    """Return what must stay, part by part: its name, and its bytes or, if they are many, their digest."""
    found: list[tuple[str, bytes]] = []
    for name, piece in container.foreign():
        if len(piece) == 0:
            continue
        if isinstance(piece, bytes) and len(piece) <= _INLINE_BYTES:
            found.append((name, piece))
            continue
        digest = hashlib.blake2b(digest_size=32)
        _update(digest, source, piece)
        found.append((name, len(piece).to_bytes(8, "big") + digest.digest()))
    return found


def audio_digest(path: Path) -> str:
    """Return the digest of a file's audio, which tags do not change, in hexadecimal.

    Parameters
    ----------
    path : Path
        An audio file.

    Raises
    ------
    UnsupportedFormatError
        If mertag does not know its container.
    TagWriteError
        If it is damaged or cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            source = Source(cast(BinaryIO, file))
            return payload_digest(source, open_container(source))
    except NoTagFormatError as error:
        raise UnsupportedFormatError(path, str(error)) from error
    except MalformedError as error:
        raise TagWriteError(path, str(error)) from error
    except OSError as error:
        raise TagWriteError(path, f"it cannot be read ({error.strerror or error})") from error


def _update(digest: hashlib.blake2b, source: Source, piece: Piece) -> None:
    if isinstance(piece, bytes):
        digest.update(piece)
    else:
        for chunk in source.chunks(piece):
            digest.update(chunk)
