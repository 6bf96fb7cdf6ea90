"""One account of a run's files, whatever the run does: counts, groups by reason, and a sum that holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_tagger import emotion
from hypothesis import given
from hypothesis import strategies as st

from mertag.emotion import Quadrant
from mertag.library.accounting import Account, Event, FileDone, Finished, Found, Status, handle_all
from mertag.library.tags import TagChange

TAG = (Status.TAGGED, Status.UNCHANGED, Status.SKIPPED, Status.FAILED)
UNDO = (Status.UNDONE, Status.ALREADY_UNDONE, Status.LEFT)


def done(index: int, status: Status, reason: str = "", *, changed: bool = False) -> FileDone:
    path = Path(f"/{index}")
    change = TagChange(path=path, container="MP3", old={}, new={}, changed=changed)
    return FileDone(index=index, path=path, status=status, reason=reason, change=change)


@given(ends=st.lists(st.none() | st.tuples(st.sampled_from(TAG), st.sampled_from("ab")), max_size=20))
def test_songs_that_were_not_reached_are_skipped_and_every_song_that_is_not_tagged_has_a_group(
    ends: list[tuple[Status, str] | None],
) -> None:
    account = Account(len(ends), TAG)
    for index, end in enumerate(ends):
        if end is not None:
            account.add(done(index, *end))
    s = account.summary([Path(f"/{i}") for i in range(len(ends))], not_reached_because="interrupted")
    assert s.found == len(ends) == s.tagged + s.unchanged + s.skipped + s.failed == sum(s.counts.values())
    assert s.not_reached == ends.count(None) == sum(len(g.paths) for g in s.reasons if not g.reached)
    assert sum(len(group.paths) for group in s.reasons) == s.found - s.tagged
    order = [(group.status, -len(group.paths), group.reason) for group in s.reasons]
    assert order == sorted(order)


def test_only_a_run_that_changed_a_file_has_a_number() -> None:
    account = Account(2, TAG, run=7)
    account.add(done(0, Status.UNCHANGED, "already up to date"))
    assert account.summary().run is None
    account.add(done(1, Status.TAGGED, changed=True))
    assert account.summary().run == 7


def test_a_song_that_failed_is_in_no_share_of_moods_and_in_no_damage() -> None:
    account = Account(3, TAG)
    for index, (status, damage) in enumerate(
        [(Status.TAGGED, "torn"), (Status.UNCHANGED, ""), (Status.FAILED, "torn")]
    ):
        heard = replace(emotion(Quadrant.Q3), damage=damage)
        account.add(replace(done(index, status), emotion=heard))
    s = account.summary()
    assert s.heard == {Quadrant.Q3: 2}
    assert s.damaged == {"torn": (Path("/0"),)}


def test_what_was_left_is_a_failure_with_its_reason_and_the_largest_group_comes_first() -> None:
    account = Account(5, UNDO)
    for index, (status, reason) in enumerate(
        [(Status.LEFT, "gone"), (Status.LEFT, "changed"), (Status.UNDONE, ""), (Status.LEFT, "changed")]
    ):
        account.add(done(index, status, reason))
    s = account.summary()
    assert (s.counts, s.failed, s.not_reached) == ({"undone": 1, "already undone": 0, "left": 3}, 3, 1)
    assert [(group.reason, len(group.paths)) for group in s.reasons] == [("changed", 2), ("gone", 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a mistake")])
def test_what_ends_a_run_early_is_raised_after_its_summary(error: BaseException) -> None:
    def handle(index: int, item: str) -> FileDone:
        if item == "c":
            raise error
        return done(index, Status.UNDONE)

    def events() -> Iterator[Event]:
        yield from handle_all("abcd", handle, statuses=UNDO, run=3)

    seen: list[Event] = []
    with pytest.raises(type(error)):
        seen.extend(_into(seen, events()))
    first, *_, last = seen
    assert first == Found(n=4, run=3)
    assert isinstance(last, Finished)
    assert (last.summary.counts["undone"], last.summary.not_reached) == (2, 2)


def _into(seen: list[Event], events: Iterator[Event]) -> list[Event]:
    for event in events:
        seen.append(event)  # noqa: PERF402  so that those before an error are kept
    return []
