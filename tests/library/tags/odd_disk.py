"""A disk as odd as network shares and memory cards are: a file system of one folder, in memory, over FUSE.

Names differ in more than case; there are no modes, owners, attributes or sizes of the disk; times count in
steps of two seconds; a folder cannot be synced. Run as a program, with the descriptor of ``/dev/fuse`` and
what shall fail (``fsync:5``: every fsync fails with error 5; ``write@100000:28``: writes beyond that byte do),
from when there is a file called ``armed``.

Source: Linux, ``include/uapi/linux/fuse.h``, protocol 7.31.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = 1
OPS = {
    1: "lookup",
    3: "getattr",
    4: "setattr",
    10: "unlink",
    12: "rename",
    14: "open",
    15: "read",
    16: "write",
    17: "statfs",
    18: "release",
    20: "fsync",
    25: "flush",
    26: "init",
    27: "open",
    28: "readdir",
    29: "release",
    30: "fsyncdir",
    35: "create",
    45: "rename2",
}
UNANSWERED = (2, 36, 38, 42)  # forget, interrupt, destroy, batch forget
MODE, OWNER, SIZE, MTIME, MTIME_NOW = 1, 6, 8, 32, 256


class RefusedError(Exception):
    """An operation that ends with an error number."""


class Disk:
    def __init__(self, faults: list[str]) -> None:
        self.names: dict[int, bytes] = {}
        self.data: dict[int, bytearray] = {}
        self.mtime_s: dict[int, int] = {}
        self.next = 2
        self.faults = {}
        self.written: set[int] = set()  # since it is armed: what close() may complain about
        for fault in faults:
            where, _, code = fault.partition(":")
            name, _, limit = where.partition("@")
            self.faults[name] = (int(limit or 0), int(code))

    def find(self, name: bytes) -> int:
        for node, known in self.names.items():
            if known.decode().casefold() == name.decode().casefold():
                return node
        raise RefusedError(errno.ENOENT)

    def attributes(self, node: int) -> bytes:
        size = len(self.data.get(node, b""))
        mtime_s = self.mtime_s.get(node, 0)
        mode = 0o40755 if node == ROOT else 0o100755
        return struct.pack("<6Q10I", node, size, -(-size // 512), mtime_s, mtime_s, mtime_s, 0, 0, 0, mode, 1, *[0] * 5)

    def entry(self, node: int) -> bytes:
        return struct.pack("<4Q2I", node, node, 0, 0, 0, 0) + self.attributes(node)

    def touch(self, node: int) -> None:
        self.mtime_s[node] = int(time.time()) // 2 * 2

    def answer(self, op: str, node: int, body: bytes) -> bytes:
        limit, code = self.faults.get(op, (0, 0))
        armed = code and b"armed" in self.names.values()
        if op == "write" and b"armed" in self.names.values():
            self.written.add(node)
        if op == "flush" and node not in self.written:
            return b""
        if armed and not (limit and op == "write" and struct.unpack("<Q", body[8:16])[0] < limit):
            raise RefusedError(code)
        return getattr(self, op)(node, body)  # type: ignore[no-any-return]

    def init(self, node: int, body: bytes) -> bytes:
        return struct.pack("<IIIIHHIIHHI", 7, 31, 2**17, 0, 0, 0, 2**17, 1, 0, 0, 0) + bytes(28)

    def lookup(self, node: int, body: bytes) -> bytes:
        return self.entry(self.find(body[:-1]))

    def getattr(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self.attributes(node)

    def setattr(self, node: int, body: bytes) -> bytes:
        valid, size, mtime_s = struct.unpack("<I12xQ16xQ", body[:48])
        if valid & (MODE | OWNER):
            raise RefusedError(errno.EPERM)
        if valid & SIZE:
            self.data[node] = self.data[node][:size].ljust(size, b"\0")
            self.touch(node)
        if valid & MTIME:
            self.mtime_s[node] = mtime_s // 2 * 2
        if valid & MTIME_NOW:
            self.touch(node)
        return self.getattr(node, body)

    def unlink(self, node: int, body: bytes) -> bytes:
        del self.names[self.find(body[:-1])]
        return b""

    def rename(self, node: int, body: bytes) -> bytes:
        return self.rename2(node, body[:8] + bytes(8) + body[8:])

    def rename2(self, node: int, body: bytes) -> bytes:
        old, new = body[16:-1].split(b"\0")
        moved = self.find(old)
        with contextlib.suppress(RefusedError):
            if (replaced := self.find(new)) != moved:
                del self.names[replaced]
        self.names[moved] = new  # as it is given: a name may change its case
        return b""

    def open(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0)

    def read(self, node: int, body: bytes) -> bytes:
        offset, size = struct.unpack("<8xQI", body[:20])
        return bytes(self.data[node][offset : offset + size])

    def write(self, node: int, body: bytes) -> bytes:
        offset, size = struct.unpack("<8xQI", body[:20])
        data = self.data[node]
        if len(data) < offset:
            data.extend(bytes(offset - len(data)))
        data[offset : offset + size] = body[40 : 40 + size]
        self.touch(node)
        return struct.pack("<II", size, 0)

    def statfs(self, node: int, body: bytes) -> bytes:
        return struct.pack("<5Q4I", 0, 0, 0, 0, 0, 512, 255, 512, 0) + bytes(24)

    def release(self, node: int, body: bytes) -> bytes:
        return b""

    def fsync(self, node: int, body: bytes) -> bytes:
        return b""

    def flush(self, node: int, body: bytes) -> bytes:
        return b""

    def fsyncdir(self, node: int, body: bytes) -> bytes:
        raise RefusedError(errno.EINVAL)

    def create(self, node: int, body: bytes) -> bytes:
        new, self.next = self.next, self.next + 1
        self.names[new], self.data[new] = body[16:-1], bytearray()
        self.touch(new)
        return self.entry(new) + self.open(new, body)

    def readdir(self, node: int, body: bytes) -> bytes:
        offset, size = struct.unpack("<8xQI", body[:20])
        found = b""
        for i, (inner, name) in enumerate(list(self.names.items())):
            record = struct.pack("<QQII", inner, i + 1, len(name), 8) + name
            record += bytes(-len(record) % 8)
            if i >= offset and len(found) + len(record) <= size:
                found += record
        return found


def serve(descriptor: int, faults: list[str]) -> None:
    disk = Disk(faults)
    while True:
        try:
            request = os.read(descriptor, 2**18)
        except OSError:  # unmounted
            return
        _, code, unique, node = struct.unpack("<IIQQ", request[:24])
        if code in UNANSWERED:
            continue
        try:
            if code not in OPS:
                raise RefusedError(errno.ENOSYS)
            reply, error = disk.answer(OPS[code], node, request[40:]), 0
        except RefusedError as refused:
            reply, error = b"", -refused.args[0]
        with contextlib.suppress(OSError):  # the caller was killed meanwhile
            os.write(descriptor, struct.pack("<IiQ", 16 + len(reply), error, unique) + reply)


@contextlib.contextmanager
def odd_disk(folder: Path, *faults: str) -> Iterator[Path]:
    """Mount such a disk on `folder`; raises OSError where that cannot be."""
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    try:
        if libc.mount(b"odd", os.fsencode(folder), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "no FUSE here")
        server = subprocess.Popen([sys.executable, __file__, str(descriptor), *faults], pass_fds=[descriptor])
    finally:
        os.close(descriptor)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        server.wait(timeout=30)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
