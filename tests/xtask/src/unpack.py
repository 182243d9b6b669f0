"""Takes named members out of a wheel, sdist or npm archive.

Usage: python3 -I -c THIS KIND ARCHIVE MEMBER OUT [MEMBER OUT ...]
Only regular files are taken, each to the path the caller chose, so nothing in an
archive decides where bytes go.
"""
import sys
import tarfile
import zipfile

LIMIT = 1 << 30


def copy(source, target, name):
    left = LIMIT
    with open(target, "wb") as out:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                sys.exit(f"{name} is larger than {LIMIT} bytes")
            out.write(block)


def from_zip(archive, pairs):
    with zipfile.ZipFile(archive) as box:
        for name, target in pairs:
            with box.open(name) as source:
                copy(source, target, name)


def from_tar(archive, pairs):
    with tarfile.open(archive, "r:gz") as box:
        for name, target in pairs:
            member = box.getmember(name)
            if not member.isreg():
                sys.exit(f"{name} is no regular file")
            with box.extractfile(member) as source:
                copy(source, target, name)


kind, archive, *rest = sys.argv[1:]
pairs = list(zip(rest[::2], rest[1::2]))
try:
    (from_zip if kind == "wheel" else from_tar)(archive, pairs)
except KeyError as missing:
    sys.exit(f"the archive has no such file: {missing}")
except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError) as broken:
    sys.exit(f"the archive cannot be read: {broken}")
