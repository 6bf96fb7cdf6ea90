"""The paper's tables: its figures as it printed them, ours only where they were run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from toy_evaluation import result

from mertag.emotion import Target
from mertag_train.evaluation.durations import Duration, measure, read_durations, stated, write_durations
from mertag_train.evaluation.protocol import Protocol
from mertag_train.evaluation.sheet import Sheet, escaped, latex, markdown, panels
from mertag_train.evaluation.summary import summarise
from mertag_train.evaluation.tables import (
    DATASETS,
    NOTES,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    Measured,
    table_1,
    table_2,
    table_3,
)

PROTOCOL = Protocol(
    dataset="4q",
    labelling="quadrant as annotated",
    group="artist",
    shuffled=False,
    songs=4,
    missing_audio=0,
    counts={},
    folds=("0",),
    songs_sha="",
    folds_sha="",
)
NUMBER = re.compile(r"\d+\.\d\d(?!\d)")


@pytest.fixture(scope="module")
def printed(real_data: Path) -> str:
    files = sorted((real_data.parent / "paper").glob("*.txt"))
    if not files:
        pytest.skip("the paper's text is not here")
    return files[0].read_text(encoding="utf-8")


def part(text: str, start: str, end: str) -> list[str]:
    return text.split(start, 1)[1].split(end, 1)[0].splitlines()


@pytest.mark.realdata
def test_table_1_is_the_papers(printed: str) -> None:
    lines = part(printed, "#Segment\n", "Tab. 2")
    counts = [int(line.split()[-1].replace(",", "")) for line in lines if line.strip()]
    songs = [int(m[1]) for line in lines if (m := re.match(r"(?:PMEmo|4Q|EiM) (\d+) 1\(0\)", line))]
    assert counts == [n for _, ours in TABLE_1.values() for n in ours]
    assert songs == [n for n, _ in TABLE_1.values()]


@pytest.mark.realdata
def test_table_2_is_the_papers(printed: str) -> None:
    lines = part(printed, "Acc. F1 Acc. F1\n", "\n\nThe findings")
    rows = [tuple(float(n) for n in NUMBER.findall(line)) for line in lines]
    assert rows == [row for ours in TABLE_2.values() for row in ours]


@pytest.mark.realdata
def test_table_3_is_the_papers(printed: str) -> None:
    lines = part(printed, "V-acc V-f1 A-acc A-f1 Acc F1\n", "\n\nIn comparison")
    name = {v: k for k, v in DATASETS.items()}
    dataset, rows = "", []
    for line in lines:
        words = line.split()
        dataset = name.get(words[0], dataset)
        text = line.removeprefix(DATASETS[dataset]).strip()
        method = NUMBER.split(text)[0].strip()
        rows.append((dataset, re.sub(r" ?\[", " [", method), [float(n) for n in NUMBER.findall(text)]))
    ours = [
        (r.dataset, r.method, [n for pair in (r.valence, r.arousal, r.quadrant) for n in pair if n is not None])
        for r in TABLE_3
    ]
    assert ours == rows


def cells(sheet: Sheet, column: str) -> list[str]:
    return [row[sheet.columns.index(column)] for row in sheet.rows]


def ours(sheet: Sheet) -> list[str]:
    return [cell for column in sheet.columns if column.endswith("ours") for cell in cells(sheet, column)]


def measured(*methods: str, segment_s: float | None = None, target: Target = Target.QUADRANT) -> Measured:
    results = [result("0", [0, 1, 0, 1], [0, 1, 0, 0], method=m, target=target, segment_s=segment_s) for m in methods]
    return Measured(protocol=PROTOCOL, summaries=tuple(summarise(results, ("0",))), durations={})


def test_without_results_every_cell_of_ours_is_empty_and_the_papers_are_all_there() -> None:
    [one], [two], [three] = table_1([]), table_2([]), table_3([])
    for column in ("Songs, here", "Paper's rule [2]", "Full [3]", "Decoded [4]"):
        assert set(cells(one, column)) == {""}
    assert cells(one, "Segments, paper")[5] == "26,957"
    assert set(ours(two)) == {""}
    assert cells(two, "V-acc. paper")[:3] == ["77.43", "78.71", "83.19"]
    assert len(two.rows) == 10
    assert set(ours(three)) == {""}
    assert len(three.rows) == len(TABLE_3)


def test_a_result_stands_in_its_cell_and_in_no_other() -> None:
    [sheet] = table_2([measured("inherited-svm", segment_s=3.0, target=Target.VALENCE)])
    row = next(r for r in sheet.rows if r[:2] == ("4Q", "3"))
    assert row[sheet.columns.index("V-acc. ours")] == "75.00"
    assert row[sheet.columns.index("V-acc. paper")] == "75.20"
    assert row[sheet.columns.index("A-acc. ours")] == ""
    assert sorted(set(ours(sheet))) == ["", "66.67", "75.00"]
    assert ours(sheet).count("75.00") == 1
    assert "inherited-svm" in sheet.title


def test_every_method_that_was_run_has_a_table_2_of_its_own() -> None:
    found = [measured("inherited-vote", "inherited-svm", segment_s=1.0, target=Target.AROUSAL)]
    assert ["inherited-vote" in s.title for s in table_2(found)] == [True, False]
    assert len(table_2(found, ["inherited-svm"])) == 1


def test_a_view_of_the_quadrant_never_fills_a_cell_of_an_axis() -> None:
    [sheet] = table_3([measured("majority")])
    row = next(r for r in sheet.rows if r[:2] == ("4Q", "majority"))
    assert row[sheet.columns.index("Q-acc. ours")] == "75.00"
    assert [row[i] for i, c in enumerate(sheet.columns) if c.startswith(("V-", "A-"))] == [""] * 8
    assert "75.00" not in ours(table_2([measured("majority")])[0])


def test_our_features_stand_beside_the_papers_features_and_not_beside_skin_conductance() -> None:
    [sheet] = table_3([measured("features-svm"), replace_dataset(measured("features-svm"), "pmemo")])
    names = [(r[0], r[1]) for r in sheet.rows if "features-svm" in r[1]]
    assert names[0] == ("PMEmo", "features-svm")
    assert names[1][0] == "4Q"
    assert names[1][1].startswith("SVM [17]")
    assert len(names) == 2


def replace_dataset(found: Measured, name: str) -> Measured:
    return replace(found, protocol=replace(PROTOCOL, dataset=name))


def test_table_3_shows_one_segment_duration() -> None:
    found = [measured("inherited-svm", segment_s=1.0)]
    assert set(ours(table_3(found)[0])) == {""}
    assert "75.00" in ours(table_3(found, segment_s=1.0)[0])


def test_several_seeds_and_missing_folds_are_said_in_the_cell() -> None:
    results = [result("0", [0, 1], [0, y], method="inherited-svm", seed=s, segment_s=3.0) for s, y in ((0, 1), (1, 0))]
    both = Measured(protocol=PROTOCOL, summaries=tuple(summarise(results, ("0",))), durations={})
    assert "75.00 ± 35.36" in ours(table_2([both])[0])
    part = Measured(
        protocol=replace(PROTOCOL, folds=("0", "1")), summaries=tuple(summarise(results, ("0", "1"))), durations={}
    )
    assert "100.00 (1 of 2 folds)" in ours(table_2([part])[0])


def test_rows_that_are_not_like_with_like_have_a_footnote() -> None:
    [sheet] = table_3([])
    for text, row in (("skin conductance", "SVM [23]"), ("An F1,", "SVM [17]")):
        [name] = [r[1] for r in sheet.rows if r[1].startswith(row)]
        number = int(name.rsplit("[", 1)[1].rstrip("]"))
        assert text in sheet.notes[number - 1]
    assert {key for row in TABLE_3 for key in row.notes} == set(NOTES)


def test_segments_by_each_rule_by_hand() -> None:
    rate = 44_100
    clip = Duration(frames=round(29.4 * rate), rate_hz=rate, n_samples=round(28.9 * 22_050))
    assert [clip.by_paper(d) for d in (1, 5)] == [30, 26]
    assert [clip.full(d) for d in (1, 5)] == [29, 25]
    front_end_hops = [clip.decoded(d, _front_end()) for d in (1, 5)]
    assert front_end_hops == [28, 24]
    long = Duration(frames=45 * rate, rate_hz=rate)
    assert long.by_paper(1) == 30  # the paper's counts stop at 30 s
    assert long.full(1) == 45
    assert long.decoded(1, _front_end()) is None


def _front_end():  # type: ignore[no-untyped-def]
    from mertag.listen.windows import FrontEnd

    return FrontEnd()


def test_table_1_counts_what_is_here_and_leaves_out_what_was_not_decoded() -> None:
    clips = {"a": Duration(frames=300, rate_hz=10, n_samples=30 * 22_050), "b": Duration(frames=95, rate_hz=10)}
    [sheet] = table_1([Measured(protocol=PROTOCOL, summaries=(), durations=clips)])
    row = next(r for r in sheet.rows if r[:2] == ("4Q", "2 (1)"))
    assert row[2:] == ("900", "26,046", "2", str(29 + 9), str(29 + 8), "")


def test_durations_survive_the_disk(tmp_path: Path) -> None:
    clips = {"a": Duration(frames=300, rate_hz=10, n_samples=7), "b,c": Duration(frames=95, rate_hz=10)}
    write_durations(tmp_path / "durations.csv", clips)
    assert read_durations(tmp_path / "durations.csv") == clips


def test_markdown_and_latex_keep_every_cell() -> None:
    sheet = Sheet(
        title="50 % & more",
        columns=("a_b", "[1] c"),
        rows=(("x|y", "1 ± 2"), ("", "< 0.1")),
        notes=("100 % #1",),
    )
    text = markdown([sheet])
    assert "| x\\|y | 1 ± 2 |" in text
    assert "|  | < 0.1 |" in text
    assert "[1] 100 % #1" in text
    tex = latex([sheet])
    assert r"50 \% \& more" in tex
    assert r"a\_b & {[}1] c \\" in tex
    assert r"x\textbar{}y & 1 $\pm$ 2 \\" in tex
    assert tex.count("{") == tex.count("}")
    assert escaped("a\\b{c}") == r"a\textbackslash{}b\{c\}"


def test_remarks_stand_under_a_table_in_every_format() -> None:
    sheet = Sheet(title="t", columns=("a", "b"), rows=(("x", "1"),), notes=("n",), remarks=("Songs: 3 | 4.",))
    assert markdown([sheet]).endswith("[1] n  \n\nSongs: 3 | 4.\n")
    assert "Songs: 3 \\textbar{} 4.\\par" in latex([sheet])
    assert sheet.to_json()["remarks"] == ["Songs: 3 | 4."]


WIDE = Sheet(
    title="t",
    columns=("name", *(f"first{i} second{i}" for i in range(8))),
    rows=(("x", *"12345678"), ("longer", *"abcdefgh")),
    text_columns=1,
)


@pytest.mark.parametrize("room", [20, 40, 60, 80, 100, 150])
@pytest.mark.parametrize("fold_heads", [False, True])
def test_a_wide_table_is_cut_into_panels_that_fit_and_lose_nothing(room: int, fold_heads: bool) -> None:
    found = panels(WIDE, room, between=3, fold_heads=fold_heads)
    for panel in found:
        assert panel.columns[0] == "name"
        assert [row[0] for row in panel.rows] == ["x", "longer"]
        widths = [
            max(len(line) for cell in column for line in cell.split("\n"))
            for column in zip(panel.columns, *panel.rows, strict=True)
        ]
        assert sum(widths) + 3 * len(widths) <= room or len(panel.columns) == 2
    heads = tuple(head.replace("\n", " ") for panel in found for head in panel.columns[1:])
    assert heads == WIDE.columns[1:]
    for i, row in enumerate(WIDE.rows):
        assert tuple(cell for panel in found for cell in panel.rows[i][1:]) == row[1:]
    sizes = {len(panel.columns) for panel in found}
    assert max(sizes) - min(sizes) <= max(sizes) // 2  # no panel of one column beside one of seven


def test_a_table_that_fits_stays_whole_with_its_heads_in_one_line() -> None:
    [panel] = panels(WIDE, 200, between=3, fold_heads=True)
    assert (panel.columns, panel.rows) == (WIDE.columns, WIDE.rows)


def test_in_latex_a_wide_table_stands_in_panels_under_one_caption() -> None:
    tex = latex([WIDE])
    assert tex.count(r"\begin{table}") == 1
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") > 1
    assert tex.count("{") == tex.count("}")


def test_json_has_none_for_an_empty_cell() -> None:
    sheet = Sheet(title="t", columns=("a", "b"), rows=(("x", ""),))
    assert sheet.to_json()["rows"] == [{"a": "x", "b": None}]


@pytest.mark.realdata
@pytest.mark.slow
def test_table_1_of_the_719_clips_of_4q(real_data: Path) -> None:
    from mertag_train.data.datasets import read

    songs = read("4q", real_data / "4q").with_audio().songs
    clips = list(measure(songs, None).values())
    assert [sum(c.full(d) for c in clips) for d in range(1, 6)] == [21_259, 20_540, 19_821, 19_102, 18_383]
    assert [sum(c.by_paper(d) for c in clips) for d in (1, 5)] == [21_503, 18_627]


@pytest.mark.realdata
def test_durations_of_the_clips_of_pmemo_and_eim(real_data: Path) -> None:
    from mertag_train.data.datasets import read

    for name, n in (("pmemo", 4), ("eim", 10)):
        songs = read(name, real_data / name).with_audio().songs
        found = measure(songs, None)
        assert len(found) == n
        assert all(10 < d.frames / d.rate_hz < 120 for d in found.values())


def test_a_clip_without_a_readable_header_is_an_error_that_names_it(tmp_path: Path) -> None:
    from mertag.errors import DatasetError

    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF not really")
    with pytest.raises(DatasetError, match=r"broken\.wav: .*Repair it, or remove it"):
        stated(broken)
