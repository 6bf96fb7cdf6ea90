"""`docs/licences.md` names every dependency, with the licence that its own metadata state."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
ROWS = {
    name: (frozenset(extras.split(", ")), licence)
    for name, extras, licence in re.findall(r"^\| `([\w.-]+)` \| ([^|]*) \| ([^|]*) \|", PAGE, re.MULTILINE)
}
PINNED = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SPDX = {  # what metadata call licences
    "MIT License": "MIT",
    "BSD 3-Clause License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "Apache 2.0": "Apache-2.0",
    "Apache License v2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-based",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
}
WORKERS = ("dev", "docs")  # what only those install who work on mertag
ASKS_MORE = re.compile(r"GPL|MPL|EPL|EUPL|CDDL|proprietary|commercial", re.IGNORECASE)


def wanted() -> dict[str, set[str]]:
    """Return every package that the project names, and where: "core", or extras."""
    found: dict[str, set[str]] = {}
    for extra, texts in {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items():
        for requirement in map(Requirement, texts):
            if extra not in WORKERS and requirement.name != "mertag":
                found.setdefault(canonicalize_name(requirement.name), set()).add(extra)
    return found


def licence_of(package: str) -> str:
    """Return the licence that the metadata of an installed package state."""
    about = metadata.metadata(package)
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    short = str(about.get("License") or "").strip()
    if short in (*SPDX, *SPDX.values()):
        return SPDX.get(short, short)
    stated = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    if not stated and short:  # the whole text of it
        stated = [short.splitlines()[0].strip()]
    return " AND ".join(SPDX.get(text, text) for text in stated)


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of all installed packages that some requirements bring."""
    found: set[str] = set()
    left = [(requirement, "") for requirement in map(Requirement, requirements)]
    while left:
        requirement, extra = left.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name == "mertag":
            of_extras = [text for each in requirement.extras for text in PROJECT["optional-dependencies"][each]]
            left += [(inner, "") for inner in map(Requirement, of_extras)]
            continue
        try:
            needs = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:  # not for this platform, or not installed here
            continue
        if name not in found:
            found.add(name)
            left += [(inner, each) for inner in map(Requirement, needs) for each in ("", *requirement.extras)]
    return found


def test_the_page_names_every_dependency_and_no_other() -> None:
    assert {name: set(extras) for name, (extras, _) in ROWS.items()} == wanted()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_licence_is_what_the_package_says(name: str) -> None:
    try:
        stated = licence_of(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    if Version(metadata.version(name)) < PINNED.get(canonicalize_name(name), Version("0")):
        pytest.skip(f"{name} is older than what constraints.txt names, whose licence the page states")
    assert ROWS[name][1] == stated


def test_what_is_installed_without_extras_is_permissive_but_for_what_the_page_says() -> None:
    more = {name: licence_of(name) for name in closure(PROJECT["dependencies"])}
    assert {name for name, licence in more.items() if not licence or ASKS_MORE.search(licence)} == {"soxr"}


def test_whatever_asks_more_of_those_that_extras_bring_stands_on_the_page() -> None:
    extras: Mapping[str, list[str]] = {k: v for k, v in PROJECT["optional-dependencies"].items() if k not in WORKERS}
    for extra, texts in extras.items():
        for name in closure(texts):
            if ASKS_MORE.search(licence_of(name)):
                assert f"`{name}`" in PAGE, f"{name} ({licence_of(name)}), which the extra {extra} brings"
