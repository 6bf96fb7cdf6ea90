"""The terms of the weights claim only what is true of the data they were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mertag.errors import ConfigError
from mertag_export.card import licence_of, read_licence


@pytest.mark.parametrize("dataset", ["4q", "pmemo", "eim", "4Q"])
def test_weights_from_published_clips_are_for_research_only(dataset: str) -> None:
    licence = licence_of(dataset, "A. Author, A data set, 2018.")
    assert licence.summary == "research use only; see LICENSE-WEIGHTS"
    assert "A. Author, A data set, 2018." in licence.text
    assert "not in a product" in " ".join(licence.text.split())


@pytest.mark.parametrize("dataset", ["folder", "something new"])
def test_of_other_weights_nothing_is_claimed(dataset: str) -> None:
    licence = licence_of(dataset, "")
    assert licence.summary == "the terms of its maker's training data apply; see LICENSE-WEIGHTS"
    text = " ".join(licence.text.split())
    assert "mertag claims no right in them" in text
    assert "research" not in text


def test_lines_are_short_enough_to_read(tmp_path: Path) -> None:
    for dataset in ("4q", "folder"):
        assert max(map(len, licence_of(dataset, "long " * 40).text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("My terms\n\nSPDX identifier: CC-BY-4.0\n", "CC-BY-4.0; see LICENSE-WEIGHTS"),
        ("SPDX-License-Identifier: CC0-1.0\n", "CC0-1.0; see LICENSE-WEIGHTS"),
        ("\n  Do as you like. \nReally.\n", "Do as you like.; see LICENSE-WEIGHTS"),
    ],
)
def test_terms_of_ones_own_are_taken_as_they_are(text: str, summary: str, tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(text)
    licence = read_licence(path)
    assert (licence.text, licence.summary) == (text, summary)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_terms_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"terms\.txt"):
        read_licence(path)
