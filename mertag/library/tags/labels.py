"""Own names for the quadrants, from a file.

TOML or JSON, told apart by content; a quadrant that is not named keeps its name::

    Q1 = "Fröhlich"          {"Q1": "Fröhlich",
    Q2 = "Wütend"             "Q2": "Wütend"}
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from mertag.emotion import QUADRANTS
from mertag.errors import ConfigError
from mertag.library.tags.options import DEFAULT_LABELS, Labels, check_label
from mertag.strict_json import parse

MAX_FILE_BYTES = 2**16


def read_labels(path: Path | str) -> Labels:
    """Return the moods of Q1..Q4 that a file names.

    Parameters
    ----------
    path : Path or str
        UTF-8, at most `MAX_FILE_BYTES` long.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds anything but labels.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the labels cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path}: a file of labels is a few lines long, this one has more than {MAX_FILE_BYTES} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
        found = parse(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, not TOML
        raise ConfigError(f"{path}: the labels are neither valid TOML nor JSON: {error}") from error
    labels = dict(zip(QUADRANTS, DEFAULT_LABELS, strict=True))
    for key, label in found.items():
        if key not in labels:
            raise ConfigError(f"{path}: {key!r} is no quadrant; those are {', '.join(QUADRANTS)}")
        if not isinstance(label, str):
            raise ConfigError(f"{path}: the label of {key} is no text; write it in quotes")
        try:
            check_label(key, label)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        labels[next(q for q in QUADRANTS if q == key)] = label
    q1, q2, q3, q4 = (labels[quadrant] for quadrant in QUADRANTS)
    return q1, q2, q3, q4
