"""Inclusion in a Merkle tree (RFC 9162 section 2.1), by its recursive definition, and the
header of a ledger entry (enclave/SPEC.md section 1)."""

from dataclasses import dataclass

from .refusal import Refusal, from_hex, sha256

HEADER_BYTES = 69


def leaf_hash(data):
    """The hash of a leaf, 32 bytes."""
    return sha256(b"\x00", data)


def root_from(leaf, index, size, path):
    """The root that a path (list of 32 bytes, leaf's sibling first) leads to from a leaf
    hash at `index` of `size`; None if the path has another shape."""
    if not 0 <= index < size:
        return None
    if size == 1:
        return leaf if not path else None
    if not path:
        return None
    below, sibling = path[:-1], path[-1]
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        left = root_from(leaf, index, split, below)
        return left and sha256(b"\x01", left, sibling)
    right = root_from(leaf, index - split, size - split, below)
    return right and sha256(b"\x01", sibling, right)


@dataclass
class Header:
    """The clear part of an entry: `ledger` 16 bytes, `events_root` 32 bytes."""

    ledger: bytes
    index: int
    epoch: int
    term: int
    events_root: bytes
    encoded: bytes


def parse_header(text, code):
    """Reads the hexadecimal header of an entry; refused under `code`."""
    data = from_hex(text, HEADER_BYTES, code)
    if data[0] != 1:
        raise Refusal(code, "the header has another version than 1")
    number = lambda start, end: int.from_bytes(data[start:end], "big")
    return Header(data[1:17], number(17, 25), number(25, 29), number(29, 37), data[37:], data)


def commitment(kind, salt, event):
    """SHA-256("redoubt/event/v1" || kind || salt || event): 32 bytes."""
    return sha256(b"redoubt/event/v1", bytes([kind]), salt, event)
