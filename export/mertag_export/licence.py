"""Under which terms the weights of a bundle may be used: what follows from the data they were trained on, no more."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from mertag.errors import ConfigError

LICENCE_NAME = "LICENSE-WEIGHTS"

# What the published data sets are made of, and hence why what is trained on them is for research only.
_CLIPS = {
    "4q": "30-second previews of commercial recordings",
    "pmemo": "excerpts of commercial recordings, given out for research",
    "eim": "clips of recordings under Creative Commons licences, many of which exclude commercial use",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The terms of a model's weights.

    Attributes
    ----------
    summary : str
        One line, for the manifest.
    text : str
        The whole, for the file ``LICENSE-WEIGHTS`` of the bundle.
    """

    summary: str
    text: str


def licence_of(dataset: str, citation: str) -> Licence:
    """Return the terms that follow from the data set of a run.

    Parameters
    ----------
    dataset : str
        Its name, as ``mertag train --dataset`` spells it.
    citation : str
        How it is cited; empty for one's own music.
    """
    clips = _CLIPS.get(dataset.casefold())
    return _own(dataset) if clips is None else _research_only(dataset, citation, clips)


def read_licence(path: Path) -> Licence:
    """Return terms of one's own; the summary is the file's SPDX identifier, or else its first line.

    Raises
    ------
    ConfigError
        If the file cannot be read as text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--licence {path}: cannot be read as text ({error})") from error
    spdx = re.search(r"^SPDX[- ](?:License-)?Identifier:\s*(\S.*?)\s*$", text, re.MULTILINE | re.IGNORECASE)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not first:
        raise ConfigError(f"--licence {path}: the file is empty")
    return Licence(summary=f"{spdx[1] if spdx else first}; see {LICENCE_NAME}", text=text)


def _research_only(dataset: str, citation: str, clips: str) -> Licence:
    paragraphs = (
        f"The weights were trained on the data set {dataset}: {citation}",
        f"Its audio: {clips}. The rights in the recordings belong to their owners; no audio is in this bundle.",
        "Use the weights for research, for teaching, and for private purposes that earn no money, such as tagging "
        "your own music library; not in a product or a service that is sold or run for profit. The same holds for "
        "models derived from them. Whoever passes the weights on passes this text on with them.",
        "Publications that rest on the weights should cite the data set. Nothing here grants a right in any "
        "recording, or stands in for the terms of the data set. mertag's program code has a licence of its own.",
    )
    return Licence(summary=f"research use only; see {LICENCE_NAME}", text=_page(*paragraphs))


def _own(dataset: str) -> Licence:
    where = "music of their maker's own choice" if dataset == "folder" else f"the data set {dataset}"
    paragraphs = (
        f"The weights were trained with mertag on {where}. mertag claims no right in them: the licence of its "
        "program code does not extend to them.",
        "What may be done with them follows from the terms of that music and of its labels, which their maker "
        "knows: ask them. The maker may put terms of their own here (mertag export --licence FILE).",
    )
    return Licence(summary=f"the terms of its maker's training data apply; see {LICENCE_NAME}", text=_page(*paragraphs))


def _page(*paragraphs: str) -> str:
    title = "Terms of the model weights in this bundle"
    warranty = "The weights are provided as they are, without warranty of any kind."
    body = "\n\n".join(textwrap.fill(paragraph, 78) for paragraph in (*paragraphs, warranty))
    return f"{title}\n{'=' * len(title)}\n\n{body}\n"
