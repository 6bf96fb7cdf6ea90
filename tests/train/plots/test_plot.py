"""The picture shows the song's segments as they are, reads on its own, and takes any title literally."""

from __future__ import annotations

import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from mertag.emotion import Quadrant, SongEmotion, Target, decide
from mertag.listen.windows import WindowRule
from mertag.outcomes import SegmentTimeline
from mertag_train.plots import song as plot

MODEL = "tiny@1+0a1b2c3d"
Spans = Sequence[tuple[float, float]]


def timeline(
    duration_s: float = 30.0,
    *,
    targets: Sequence[Target] = (Target.QUADRANT,),
    segment_s: float = 3.0,
    hop_s: float = 1.0,
    n_windows: int = 1,
) -> SegmentTimeline:
    n = int((duration_s - segment_s) // hop_s) + 1
    rng = np.random.default_rng(7)
    raw = {t: rng.random((n, 4 if t is Target.QUADRANT else 2)) + 0.01 for t in targets}
    probabilities = {t: (p / p.sum(axis=1, keepdims=True)).astype(np.float32) for t, p in raw.items()}
    song = decide({t: [float(x) for x in p.mean(axis=0)] for t, p in probabilities.items()})
    return SegmentTimeline(
        times_s=np.arange(n) * hop_s,
        segment_s=segment_s,
        probabilities=probabilities,
        emotion=SongEmotion(
            quadrant=song.quadrant,
            confidence=song.confidence,
            valence=song.valence,
            arousal=song.arousal,
            quadrant_probabilities=song.quadrant_probabilities,
            duration_s=duration_s,
            n_segments=n,
            n_windows=n_windows,
            model=MODEL,
        ),
    )


def line(figure: Figure, gid: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = [one for one in figure.axes[0].lines if one.get_gid() == gid]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def labels(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def tick_labels(figure: Figure) -> list[str]:
    figure.canvas.draw()
    axes = figure.axes[-1]
    marks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label.get_text() for at, label in marks if 0 <= at <= axes.get_xlim()[1]]


def test_each_line_is_the_probability_of_a_quadrant_at_the_centres_of_the_segments() -> None:
    song = timeline()
    figure = plot.draw(song, title="A song")
    for index, quadrant in enumerate(Quadrant):
        x, y = line(figure, quadrant.value)
        np.testing.assert_array_equal(x, song.times_s + 1.5)
        np.testing.assert_array_equal(y, song.probabilities[Target.QUADRANT][:, index])
    assert figure.axes[0].get_ylim() == (0, 1)
    assert figure.axes[0].get_xlim() == (0, 30)


def test_title_decision_legend_and_axes_say_what_is_seen() -> None:
    song = timeline()
    figure = plot.draw(song, title="A song")
    title, decided, foot = texts(figure)
    assert title == "A song"
    assert decided.startswith(f"{song.emotion.quadrant} {song.emotion.quadrant.label}, confidence ")
    assert f"{song.emotion.confidence:.2f}" in decided
    assert foot == f"28 segments of 3 s every 1 s \u00b7 model {MODEL}"
    names = [f"{q} {q.label} (" for q in Quadrant]
    assert all(label.startswith(name) for label, name in zip(labels(figure), names, strict=True))
    assert figure.axes[0].get_ylabel() == "probability"
    assert figure.axes[0].get_xlabel() == "time (seconds), centre of each 3-s segment"


def test_the_song_s_own_quadrant_is_the_bold_one() -> None:
    song = timeline()
    figure = plot.draw(song, title="")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    bold = [text.get_text()[:2] for text in legend.get_texts() if text.get_fontweight() == "bold"]
    widths = {one.get_gid(): one.get_linewidth() for one in figure.axes[0].lines}
    assert bold == [song.emotion.quadrant.value] == [max(widths, key=lambda gid: widths[gid])]


def test_no_two_lines_look_the_same_even_in_grey() -> None:
    styles = [*plot.QUADRANT_STYLES.values()]
    for of in ("label", "colour", "dashes", "marker"):
        assert len({getattr(style, of) for style in styles}) == 4


def test_valence_and_arousal_heads_give_two_lines_and_the_middle() -> None:
    song = timeline(targets=(Target.VALENCE, Target.AROUSAL))
    figure = plot.draw(song, title="")
    np.testing.assert_array_equal(line(figure, "V+")[1], song.probabilities[Target.VALENCE][:, 1])
    np.testing.assert_array_equal(line(figure, "A+")[1], song.probabilities[Target.AROUSAL][:, 1])
    assert [label.split(":")[0] for label in labels(figure)] == ["valence", "arousal"]
    assert [0.5, 0.5] in [list(one.get_ydata()) for one in figure.axes[0].lines]


def test_a_long_song_has_minutes_its_windows_and_running_means() -> None:
    song = timeline(200.0, n_windows=13)
    spans = plot.window_spans(song, WindowRule(), sample_rate=22_050)
    assert spans[:2] == [(0, 30), (15, 45)]
    assert spans[-1] == (170, 200)
    assert len(spans) == 13
    figure = plot.draw(song, title="", spans_s=spans)
    assert tick_labels(figure)[:3] == ["0:00", "0:30", "1:00"]
    assert "minutes:seconds" in figure.axes[-1].get_xlabel()
    drawn = [path.get_extents() for bars in figure.axes[1].collections for path in bars.get_paths()]
    assert sorted((box.x0, box.x1) for box in drawn) == spans
    y = line(figure, "Q2.mean")[1]
    raw = song.probabilities[Target.QUADRANT][:, 1]
    np.testing.assert_array_equal(line(figure, "Q2")[1], raw)
    assert y[50] == pytest.approx(raw[43:58].mean(), rel=1e-6)
    assert "mean of 13 windows" in texts(figure)[2]
    assert "mean over 15 s" in texts(figure)[2]


def test_windows_in_one_row_do_not_overlap() -> None:
    assert plot.window_rows([(0, 30), (15, 45), (30, 60)]) == [[(0, 30), (30, 60)], [(15, 45)]]
    assert plot.window_rows([(0, 30), (15, 45), (19, 49)]) == [[(0, 30)], [(15, 45)], [(19, 49)]]


def test_where_silence_was_left_out_no_line_and_no_window_is_drawn() -> None:
    whole = timeline(200.0, n_windows=6)
    sounds = (whole.times_s < 57) | (whole.times_s >= 140)
    song = replace(
        whole,
        times_s=whole.times_s[sounds],
        silent_times_s=whole.times_s[~sounds],
        probabilities={target: p[sounds] for target, p in whole.probabilities.items()},
        emotion=replace(whole.emotion, n_segments=int(sounds.sum()), silent_s=81.0),
    )
    spans = plot.window_spans(song, WindowRule(), sample_rate=22_050)
    assert spans == [(0, 30), (15, 45), (30, 59), (140, 165), (150, 180), (165, 195), (170, 200)]
    figure = plot.draw(song, title="", spans_s=spans)
    for gid in ("Q1", "Q1.mean"):
        x, y = line(figure, gid)
        assert np.flatnonzero(np.isnan(x)).tolist() == [57]
        assert np.flatnonzero(np.isnan(y)).tolist() == [57]
        np.testing.assert_array_equal(x[[56, 58]], [57.5, 141.5])
    raw = song.probabilities[Target.QUADRANT][:, 0]
    assert line(figure, "Q1.mean")[1][58] == pytest.approx(raw[57])  # nothing from before the silence
    assert "silence left out: 81 s" in texts(figure)[2]


def test_a_short_song_has_one_window_which_is_not_drawn() -> None:
    song = timeline(30.0)
    spans = plot.window_spans(song, WindowRule(), sample_rate=22_050)
    assert spans == [(0, 30)]
    assert len(plot.draw(song, title="", spans_s=spans).axes) == 1


def test_a_song_of_one_segment_shows_as_points() -> None:
    figure = plot.draw(timeline(3.0), title="")
    assert all(one.get_marker() not in ("", "None") for one in figure.axes[0].lines)
    assert texts(figure)[2].startswith("1 segment of 3 s")


@pytest.mark.parametrize("duration_s", [3.0, 59.0, 125.0, 600.0, 3_600.0, 30_000.0])
def test_there_are_never_too_many_marks_on_the_time_axis(duration_s: float) -> None:
    hop_s = max(1.0, duration_s / 500)
    assert 2 <= len(tick_labels(plot.draw(timeline(duration_s, hop_s=hop_s), title=""))) <= 16


def test_the_running_mean_by_hand() -> None:
    np.testing.assert_allclose(plot.running_mean(np.array([0.0, 3, 6, 0, 3]), 3), [0, 3, 3, 3, 3])
    np.testing.assert_allclose(plot.running_mean(np.array([2.0, 4]), 15), [2, 4])


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("$100 for $200", "$100 for $200"),
        (r"$\frac{broken", r"$\frac{broken"),
        ("<b>bold</b> & [red]more[/red]", "<b>bold</b> & [red]more[/red]"),
        ("a\x1b[31m\nb\u202ec", r"a\x1b[31m\x0ab\u202ec"),
        ("byte \udcff", r"byte \xff"),
        ("愛 сердце ❤", "愛 сердце ❤"),
        ("", ""),
    ],
)
def test_a_title_is_taken_literally(title: str, shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot.draw(timeline(10.0), title=title)
        svg = plot.render(figure, "svg")
        png = plot.render(figure, "png")
    assert texts(figure)[0] == shown
    assert png.startswith(b"\x89PNG")
    written = [text for element in ET.fromstring(svg).iter() if (text := element.text)]
    assert not shown or shown in written
    assert capfd.readouterr() == ("", "")


def test_a_long_title_loses_its_middle_and_fits() -> None:
    figure = plot.draw(timeline(10.0), title="The beginning " + "x" * 300 + " the end")
    shown = figure.texts[0]
    assert shown.get_text().startswith("The beginning xxx")
    assert shown.get_text().endswith("xxx the end")
    assert "\u2026" in shown.get_text()
    box = shown.get_window_extent()
    assert 0.8 * plot.WIDTH_PX < box.x1 <= plot.WIDTH_PX


def test_nothing_that_is_written_leaves_the_picture_or_lies_on_the_data() -> None:
    song = timeline(300.0, n_windows=19)
    figure = plot.draw(song, title="y" * 500, spans_s=plot.window_spans(song, WindowRule(), sample_rate=22_050))
    figure.canvas.draw()
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert legend is not None
    boxes = [*(text.get_window_extent() for text in figure.texts), legend.get_window_extent()]
    labelled = [figure.axes[-1].xaxis.label, axes.yaxis.label]
    for box in [*boxes, *(label.get_window_extent() for label in labelled)]:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= plot.WIDTH_PX
        assert box.y1 <= plot.HEIGHT_PX
    for one in boxes:
        assert not one.overlaps(axes.get_window_extent())
        assert sum(one.overlaps(other) for other in boxes) == 1  # itself


def test_a_png_is_1200_pixels_wide_and_both_formats_are_the_same_each_time() -> None:
    pictures = [[plot.render(plot.draw(timeline(10.0), title="x"), kind) for kind in ("png", "svg")] for _ in range(2)]
    assert pictures[0] == pictures[1]
    image = mpl.image.imread(io.BytesIO(pictures[0][0]))
    assert image.shape[:2] == (plot.HEIGHT_PX, plot.WIDTH_PX)


def test_what_a_user_has_set_for_matplotlib_does_not_matter_and_stays() -> None:
    plain = plot.render(plot.draw(timeline(10.0), title="x_$"), "png")
    with mpl.rc_context({"text.usetex": True, "font.size": 40, "savefig.dpi": 30}):
        assert plot.render(plot.draw(timeline(10.0), title="x_$"), "png") == plain
        assert mpl.rcParams["font.size"] == 40
