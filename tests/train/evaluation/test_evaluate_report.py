"""Reports as people read them: nothing empty, nothing unexplained, and what holds for all said once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from toy_evaluation import result

from mertag.emotion import Target
from mertag_train.evaluation import partitions, report
from mertag_train.evaluation.files import write_json
from mertag_train.evaluation.output import make_report, write_report
from mertag_train.evaluation.protocol import Protocol
from mertag_train.evaluation.results import Result, write_result
from mertag_train.evaluation.summary import compare, summarise

PROTOCOL = Protocol(
    dataset="4q",
    labelling="as annotated",
    group="artist",
    shuffled=False,
    songs=4,
    missing_audio=3,
    counts={"valence": {"V-": 2, "V+": 2}},
    folds=("0",),
    songs_sha="s",
    folds_sha="f",
    citation="Somebody, 2018",
    notes=("One clip is odd.",),
)


def results(*methods: str, target: Target = Target.VALENCE, segment_s: float | None = None) -> list[Result]:
    return [
        result("0", [0, 1, 0, 1], [0, 1, 0, i % 2], method=m, target=target, segment_s=segment_s)
        for i, m in enumerate(methods)
    ]


def test_columns_that_would_be_empty_are_left_out() -> None:
    whole = summarise(results("majority"), ("0",))
    [sheet] = report.sheets(PROTOCOL, whole, [])
    assert "Segment" not in sheet.columns
    assert "F1 of V+" in sheet.columns
    assert all(cell for row in sheet.rows for cell in row)
    segmented = summarise(results("inherited-mean", target=Target.QUADRANT, segment_s=3.0), ("0",))
    sheet = report.sheets(PROTOCOL, segmented, [])[0]
    assert sheet.columns[:2] == ("Method", "Segment")
    assert not any(column.startswith("F1") for column in sheet.columns)
    assert all(cell for row in sheet.rows for cell in row)


def test_every_footnote_of_a_report_is_referred_to() -> None:
    summaries = summarise(results("majority", "features-svm"), ("0",))
    for sheet in report.sheets(PROTOCOL, summaries, compare(summaries)):
        words = " ".join(sheet.columns)
        assert all(f"[{i}]" in words for i in range(1, len(sheet.notes) + 1)), sheet.title


def test_one_comparison_is_not_said_to_be_corrected() -> None:
    two = summarise(results("majority", "features-svm"), ("0",))
    assert report.sheets(PROTOCOL, two, compare(two))[-1].notes[1] == "One comparison: there is nothing to correct."
    three = summarise(results("majority", "features-svm", "inherited-mean"), ("0",))
    assert "the 3 comparisons" in report.sheets(PROTOCOL, three, compare(three))[-1].notes[1]


def test_on_a_terminal_what_is_the_same_in_all_rows_stands_in_the_title() -> None:
    whole = summarise(results("majority", "features-svm"), ("0",))
    [sheet] = report.narrow(whole)
    assert sheet.title == "valence, 4 songs, 1 folds"
    assert sheet.columns == ("Method", "Accuracy", "95 %", "Macro-F1", "Cal. error")
    assert sheet.remarks
    part = summarise([*results("majority"), result("1", [0, 1], [0, 1]), *results("features-svm")], ("0", "1"))
    [sheet] = report.narrow(part)
    assert sheet.columns[:3] == ("Method", "Songs", "Folds")
    assert [row[1:3] for row in sheet.rows] == [("6", "2"), ("4", "1 of 2")]


def test_the_remarks_say_what_was_measured_on() -> None:
    said = report.remarks(PROTOCOL, results("majority"))
    assert "4 songs in 1 folds, no artist on both sides; labels: as annotated." in said
    assert "Songs by valence: V- 2, V+ 2." in said
    assert "3 more songs are labelled, but have no audio here." in said
    assert "One clip is odd." in said
    assert said[-1] == "Data set: Somebody, 2018."
    flipped = replace(PROTOCOL, flipped=0.2)
    assert any("20% were given a wrong label on purpose" in remark for remark in report.remarks(flipped, []))
    assert report.heading(flipped) == "4Q, folds by artist, 20% of the training labels wrong"


def test_spliced_songs_are_said_and_so_is_how_their_segments_were_found_by_epoch() -> None:
    spliced = replace(PROTOCOL, spliced=0.2)
    assert report.heading(spliced) == "4Q, folds by artist, 20% of the training songs spliced"
    assert any("of another class on purpose" in remark for remark in report.remarks(spliced, []))
    epochs = [
        {"epoch": 4, "clean_share": 0.75, "right_share": 0.8, "partition_auroc": 0.6, "noisy_recall": 0.5},
        {"epoch": 5, "clean_share": 0.7, "right_share": 0.8, "partition_auroc": 0.75, "noisy_recall": 0.5},
    ]
    later = [{**epoch, "partition_auroc": epoch["partition_auroc"] + 0.1} for epoch in epochs]
    unknown = ({"epoch": 5, "clean_share": 0.9},)
    results = [
        replace(result("0", [0, 1], [0, 1], method="ours", segment_s=1.0), epochs=tuple(epochs)),
        replace(result("1", [0, 1], [0, 1], method="ours", segment_s=1.0), epochs=tuple(later)),
        replace(result("0", [0, 1], [0, 1], method="elr", segment_s=1.0), epochs=unknown),
    ]
    made = partitions.sheet(results)
    assert made is not None
    assert [row[1:] for row in made.rows] == [
        ("ours", "1s", "4", "2", "0.200", "0.250", "0.650", "", "", "0.500"),
        ("ours", "1s", "5", "2", "0.200", "0.300", "0.800", "", "", "0.500"),
    ]
    [told] = report.report_json(spliced, [], [], results)["partitions"]
    assert [epoch["partition_auroc"] for epoch in told["epochs"]] == pytest.approx([0.65, 0.8])
    assert report.sheets(spliced, [], [], results)[-1].title.endswith("wrong labels found")
    assert partitions.sheet(results[2:]) is None
    assert partitions.in_words(epochs[0]) == "wrong labels found: AUROC 0.600, recall 0.500"


def test_the_markdown_begins_with_the_remarks_and_ends_with_the_pictures(tmp_path: Path) -> None:
    write_json(tmp_path / "protocol.json", PROTOCOL.to_json())
    for found in results("majority", "features-svm"):
        write_result(tmp_path, PROTOCOL, found)
    paths = write_report(tmp_path, make_report(tmp_path))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# 4Q, folds by artist\n\n- 4 songs in 1 folds")
    assert "![valence.majority](figures/valence.majority.png)" in text
    assert all(path.stat().st_size for path in paths)
    assert [path.name for path in paths[3:]] == ["valence.majority.png", "valence.features-svm.png"]
    tex = (tmp_path / "report.tex").read_text(encoding="utf-8")
    assert tex.count("Data set: Somebody") == 1
    write_report(tmp_path, make_report(tmp_path), pictures=False)
    assert "figures/" not in (tmp_path / "report.md").read_text(encoding="utf-8")
