"""An overview as text: the whole of it for ``mertag overview``, and a few lines for the end of a run that tags."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from mertag.cli import console
from mertag.cli.results import elided
from mertag.emotion import QUADRANT_LABELS, QUADRANTS
from mertag.files import printable
from mertag.library.overview.songs import UNSURE_BELOW
from mertag.library.overview.sums import Group, Moods, Overview

BAR = 24
LEAST_OF_A_GROUP = 5
"""A genre or an artist of fewer songs says nothing of a mood."""

_NAME = 34
_HEADINGS = "".join(f"{label:>9}" for label in QUADRANT_LABELS.values())


def lines(found: Overview, *, top: int) -> Iterator[str]:
    """Yield an overview line by line; of each list, the `top` first."""
    heard = ", ".join(f"{model} ({n})" if len(found.models) > 1 else model for model, n in found.models.items())
    yield f"{_count(found.songs, 'song')} with an emotion" + (f", heard by {printable(heard)}" if heard else "")
    full = "█" if (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" else "#"
    if found.songs:
        yield ""
        yield f"{'mood':<9}{'songs':>7}{'share':>8}  {'':<{BAR}}{'confidence':>12}"
    for mood in found.moods if found.songs else ():
        bar = full * round(BAR * mood.share)
        sure = "" if mood.confidence is None else f"{mood.confidence:.2f}"
        yield f"{mood.label:<9}{mood.songs:>7}{mood.share:>8.1%}  {bar:<{BAR}}{sure:>12}"
    if found.confidence is not None:
        yield ""
        n = len(found.unsure)
        yield (
            f"confidence: half of the songs above {found.confidence.median:.2f}; "
            f"{_count(n, 'song')} ({n / found.songs:.0%}) below {UNSURE_BELOW}"
        )
    for title, groups in (
        ("genre", found.by_genre),
        ("artist", found.by_artist),
        ("album", found.by_album),
        ("decade", decades(found.by_year)),
    ):
        yield from _table(title, groups, top)
    above = _above(found.by_folder)
    yield from _table("folder", found.by_folder, top, above=above)
    yield from _rest(found, top, above)


def short(found: Overview) -> Iterator[str]:
    """Yield what a run that tags says at its end: where each mood is at home, and how much is unsure."""
    for name, groups in (("genre", found.by_genre), ("artist", found.by_artist)):
        best = [(label, group) for label, group in zip(QUADRANT_LABELS.values(), _homes(groups), strict=True) if group]
        if len(groups) > 1 and best:
            said = (f"{label} {_share(group.moods, label):.0%} of {printable(group.name)}" for label, group in best)
            yield f"by {name}: {', '.join(said)}"
    if found.unsure:
        n = len(found.unsure)
        yield f"unsure: {_count(n, 'song')} with a confidence below {UNSURE_BELOW}"
    if found.songs > 1:
        yield "`mertag overview` says more of it, and `mertag overview --html FILE` draws it"


def decades(years: Sequence[Group]) -> list[Group]:
    """Return years put together by tens, the earliest first."""
    of: defaultdict[int, list[Group]] = defaultdict(list)
    for year in years:
        of[int(year.name) // 10 * 10].append(year)
    return [_together(f"{decade}s", groups) for decade, groups in sorted(of.items())]


def _together(name: str, groups: Sequence[Group]) -> Group:
    n = sum(group.songs for group in groups)
    means = (sum(getattr(g, key) * g.songs for g in groups) / n for key in ("confidence", "valence", "arousal"))
    moods = Moods(*(sum(getattr(group.moods, quadrant) for group in groups) for quadrant in QUADRANTS))
    return Group(name, n, moods, *means)


def _above(folders: Sequence[Group]) -> str:
    """Return the folder in which several are, or which is above them; empty if there is none but a root."""
    if len(folders) < 2:
        return ""
    try:
        above = os.path.commonpath([folder.name for folder in folders])
    except ValueError:  # drives of Windows
        return ""
    return above if Path(above).name else ""


def _below(above: str, path: str) -> str:
    """Return a path from the folder `above` on."""
    return os.path.relpath(path, above) if above else path


def _table(title: str, groups: Sequence[Group], top: int, *, above: str = "") -> Iterator[str]:
    """Yield songs by name; names of files are said from the folder `above` on, and it before them."""
    if not groups:
        return
    yield ""
    if above:
        yield f"under {printable(above)}"
    yield f"{title:<{_NAME}}{'songs':>7}{_HEADINGS}{'confidence':>12}"
    shown = groups if title == "decade" else groups[:top]
    for group in shown:
        shares = "".join(f"{_share(group.moods, label):>9.0%}" for label in QUADRANT_LABELS.values())
        name = printable(_below(above, group.name))
        yield f"{elided(name, _NAME, pad=True)}{group.songs:>7}{shares}{group.confidence:>12.2f}"
    if len(groups) > len(shown):
        yield f"and {len(groups) - len(shown)} more"


def _rest(found: Overview, top: int, above: str) -> Iterator[str]:
    """Yield the moods of someone else's, what has no mood, and what is unsure."""
    if found.kept:
        yield ""
        yield "moods that someone else wrote, and what mertag heard in these songs"
        for kept in found.kept[:top]:
            heard = ", ".join(
                f"{label} {n}" for label, n in zip(QUADRANT_LABELS.values(), _values(kept.heard), strict=True) if n
            )
            yield f"  {printable(kept.mood)} ({kept.songs}): {heard}"
        if len(found.kept) > top:
            yield f"  and {len(found.kept) - top} more"
    if found.without:
        yield ""
        yield "files without an emotion"
        for without in found.without:
            yield f"  {printable(without.reason)}: {len(without.files)}"
    if found.unsure:
        yield ""
        yield "the least sure"
        for song in found.unsure[:top]:
            name = " - ".join(filter(None, (song.artist, song.title))) or _below(above, song.path)
            yield f"  {printable(name)}: {song.label} {song.confidence:.2f}, or {song.second}"
    notes = ((found.gone, "no longer there, and left out"), (found.changed, "changed since mertag looked at them"))
    for i, (n, text) in enumerate((n, text) for n, text in notes if n):
        yield from [""] if i == 0 else []
        yield f"{_count(n, 'file')} {text}" + ("; `mertag tag` does so again" if "changed" in text else "")


def _homes(groups: Sequence[Group]) -> list[Group | None]:
    """Return for each mood the group of which it has the largest share; None where it leads no group."""
    large = [group for group in groups if group.songs >= LEAST_OF_A_GROUP]
    homes: list[Group | None] = []
    for label in QUADRANT_LABELS.values():
        ranked = sorted(large, key=lambda group: (-_share(group.moods, label), -group.songs))
        leads = ranked and _share(ranked[0].moods, label) == max(_shares(ranked[0].moods))
        homes.append(ranked[0] if leads else None)
    return homes


def _values(moods: Moods) -> tuple[int, ...]:
    return moods.Q1, moods.Q2, moods.Q3, moods.Q4


def _shares(moods: Moods) -> list[float]:
    values = _values(moods)
    return [value / sum(values) for value in values]


def _share(moods: Moods, label: str) -> float:
    return _shares(moods)[list(QUADRANT_LABELS.values()).index(label)]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def show(found: Overview, *, top: int) -> None:
    """Print an overview on stdout."""
    for line in lines(found, top=top):
        console.out(line)
