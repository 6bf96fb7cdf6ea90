"""How long the clips are, by what their headers state and by what can be decoded, and how many segments that makes.

The two differ: the header of an MP3 often states a tenth of a second that no decoder gives, and a clip that states
30.0 s then has one full segment fewer. Training only ever sees what can be decoded.

On disk: ``durations.csv``, ``song_id,frames,rate_hz,n_samples``: frames at the file's own rate, as stated, and
samples at the front end's rate, as decoded (empty where nothing was decoded).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mertag.errors import DatasetError
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.datasets.base import Song
from mertag_train.data.datasets.tables import read_table
from mertag_train.data.store import LogMelStore
from mertag_train.evaluation.files import write_text

FILE = "durations.csv"
COLUMNS = ("song_id", "frames", "rate_hz", "n_samples")
PAPER_MAX_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long one clip is: frames and their rate as its header states them, and what was decoded, if it was.

    `n_samples` is at the front end's rate.
    """

    frames: int
    rate_hz: int
    n_samples: int | None = None

    def by_paper(self, duration_s: int) -> int:
        """Return the segments by the rule that comes near the paper's counts: min(30, ceil(duration)) - d + 1."""
        return max(0, min(PAPER_MAX_S, -(-self.frames // self.rate_hz)) - duration_s + 1)

    def full(self, duration_s: int) -> int:
        """Return the full segments, with a hop of 1 s, in what the header states."""
        return max(0, self.frames // self.rate_hz - duration_s + 1)

    def decoded(self, duration_s: int, front_end: FrontEnd) -> int | None:
        """Return the full segments, with a hop of 1 s, in what was decoded."""
        cut = Segmentation(duration_s=duration_s, hop_s=1.0)
        return None if self.n_samples is None else cut.n_segments(self.n_samples, front_end)


def measure(
    songs: Sequence[Song],
    store: LogMelStore | None,
    *,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Duration]:
    """Return the duration of every song, by id; `store`, if there is one, has on record what was decoded.

    DatasetError is raised for a clip whose header cannot be read, or that has neither audio nor a log-mel.
    """
    decoded = {} if store is None else dict(zip(store.ids, (int(n) for n in store.n_samples), strict=True))
    found: dict[str, Duration] = {}
    for done, song in enumerate(songs, start=1):
        n_samples = decoded.get(song.id)
        if song.path is not None:
            frames, rate = stated(song.path)
        elif store is not None and n_samples is not None:  # no file, no header: what was decoded stands for both
            frames, rate = n_samples, store.front_end.sample_rate
        else:
            raise DatasetError(f"song {song.id!r} has neither audio nor a log-mel here.")
        found[song.id] = Duration(frames=frames, rate_hz=rate, n_samples=n_samples)
        on_clip(done, len(songs))
    return found


def stated(path: Path) -> tuple[int, int]:
    """Return frames and sample rate as the header states them; a format without either is decoded and counted.

    DatasetError is raised if the file cannot be read.
    """
    import soundfile

    from mertag.errors import FileError
    from mertag.listen.decode.audio import decode

    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            if 0 < sound.frames < 1 << 40:
                return int(sound.frames), int(sound.samplerate)
    except (soundfile.LibsndfileError, RuntimeError):
        pass  # not a format of libsndfile's: decoded below, which says what is wrong if anything is
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}). Repair it, or remove it.") from error
    try:
        return sum(len(chunk) for chunk in decode(path)), FrontEnd().sample_rate
    except FileError as error:
        raise DatasetError(f"{error}. Repair it, or remove it.") from error


def write_durations(path: Path, durations: dict[str, Duration]) -> None:
    """Write ``durations.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for song, found in sorted(durations.items()):
        writer.writerow((song, found.frames, found.rate_hz, "" if found.n_samples is None else found.n_samples))
    write_text(path, text.getvalue())


def read_durations(path: Path) -> dict[str, Duration]:
    """Read ``durations.csv``; raise DatasetError, with the line, if a value is missing or no number."""
    return {
        song: Duration(
            frames=round(row.number("frames", low=0)),
            rate_hz=round(row.number("rate_hz", low=1)),
            n_samples=round(row.number("n_samples", low=0)) if row.optional("n_samples") else None,
        )
        for song, row in read_table(path, COLUMNS).by("song_id").items()
    }
