"""A library of another user on a NAS, whose group may write it: tagged by someone of that group, and said."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutagen.flac import FLAC
from written_songs import make_song

pytestmark = pytest.mark.command

OWNER, GROUP, ME = 12345, 23456, 65534
_NOBODY = 0xFFFFFFFF
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, _NOBODY), (2, 6, 777), (4, 6, _NOBODY), (16, 6, _NOBODY), (32, 4, _NOBODY))
)
"""An access list that lets user 777 write."""

SETPRIV = ["setpriv", f"--reuid={ME}", f"--regid={ME}", f"--groups={GROUP}"]
SETPRIV += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # Python itself may lie in root's home


def as_someone_else(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SETPRIV, *map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture
def nas() -> Iterator[Path]:
    """Yield a folder that someone else can reach, which pytest's own folders cannot be."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root on Linux can become someone else")
    if as_someone_else(sys.executable, "-c", "").returncode:
        pytest.skip("this root may not hand on its capabilities")
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    folder = top / "nas"
    for i in range(3):
        song = make_song(folder / f"q1_{i}.flac")
        os.chown(song, OWNER, GROUP)
        song.chmod(0o664)
    os.chown(folder, OWNER, GROUP)
    folder.chmod(0o2775)
    (top / "state").mkdir()
    os.chown(top / "state", ME, ME)
    yield folder
    shutil.rmtree(top)


def test_group_mode_and_access_list_are_kept_and_the_new_owner_is_said_once(nas: Path) -> None:
    songs = sorted(nas.iterdir())
    try:
        os.setxattr(songs[0], "system.posix_acl_access", ACL)
    except OSError:
        pytest.skip("this file system has no access lists")
    fake = Path(__file__).parents[1] / "fake_tagger.py"
    command = ("env", f"XDG_STATE_HOME={nas.parent / 'state'}", sys.executable, fake, "tag", nas, "--write-tags")
    result = as_someone_else(*command)
    assert result.returncode == 0, result.stderr
    warnings = [line for line in result.stderr.splitlines() if line.startswith("mertag: warning: ")]
    assert len(warnings) == 1
    said = f"belonged to user {OWNER} and now belongs to you; group, permissions and access list are kept"
    assert said in warnings[0]
    for song in songs:
        status = song.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (ME, GROUP, 0o664)
        assert FLAC(song)["MOOD"] == ["Happy"]
    assert os.getxattr(songs[0], "system.posix_acl_access") == ACL
