"""Ledger heads as signed notes: C2SP signed-note, tlog-checkpoint and tlog-cosignature.

A note lists origin, size and root, then signature lines. Lines by unknown keys are passed
over, as C2SP asks; a wrong line under a known key refuses the note.
"""

from dataclasses import dataclass

from .refusal import Refusal, from_b64, sha256
from .signatures import verify_ed25519, verify_ml_dsa_65

ORIGIN = "redoubt.example/ledger/"
ED25519 = b"\x01"
COSIGNATURE = b"\x04"
# C2SP's type for algorithms without a number of their own, and ours by name.
ML_DSA_65 = b"\xffredoubt/ML-DSA-65"
NOTE_MAX = 64 * 1024


@dataclass
class Key:
    """The keys of one boot: Ed25519 (32 bytes), ML-DSA-65 (1952 bytes, or None)."""

    ed25519: bytes
    mldsa65: bytes = None


@dataclass
class Note:
    """A note taken apart: `ledger` 16 bytes, `root` 32 bytes, `lines` (name, bytes)."""

    body: str
    lines: list
    ledger: bytes
    size: int
    root: bytes
    signer: int = -1
    post_quantum: bool = False
    post_quantum_verified: bool = False


def malformed(why):
    """The refusal of a text that is no checkpoint."""
    return Refusal("note_malformed", f"checkpoint is malformed: {why}")


def parse(text):
    """Takes a note (str) apart; nothing is verified. Raises Refusal."""
    if len(text.encode()) > NOTE_MAX:
        raise malformed("longer than 65536 bytes")
    body, blank, lines = text.partition("\n\n")
    if not blank:
        raise malformed("no blank line before the signatures")
    origin, _, rest = body.partition("\n")
    size, _, root = rest.partition("\n")
    name = origin.removeprefix(ORIGIN)
    good_name = len(name) == 32 and all(c in "0123456789abcdef" for c in name)
    if not origin.startswith(ORIGIN) or not good_name:
        raise malformed("the origin names no ledger")
    number = size.isascii() and size.isdigit() and str(int(size)) == size
    if not number or int(size) >= 1 << 64:
        raise malformed("the size is no number")
    digest = from_b64(root, "note_malformed")
    if len(digest) != 32:
        raise malformed("the root is not 32 bytes")
    return Note(body + "\n", _lines(lines), bytes.fromhex(name), int(size), digest)


def _lines(text):
    if not text.endswith("\n"):
        raise malformed("the last line has no end")
    found = []
    for line in text[:-1].split("\n"):
        dash, name, encoded = (line.split(" ", 2) + ["", ""])[:3]
        if dash != "\u2014" or not encoded:
            raise malformed("a signature line has no dash or no name")
        data = from_b64(encoded, "note_malformed")
        if len(data) < 5:
            raise malformed("a signature is too short")
        found.append((name, data))
    return found


def key_id(name, kind, public):
    """First 4 bytes of SHA-256(name || newline || type || public key)."""
    return sha256(name.encode(), b"\n", kind, public)[:4]


def open_note(text, keys, unverified):
    """Verifies a note under the first of `keys` (Key) that signed it; appends to
    `unverified` (list) what could not be judged here. Returns a Note; raises Refusal."""
    note = parse(text)
    name = ORIGIN + note.ledger.hex()
    for note.signer, key in enumerate(keys):
        signature = _line(note, name, ED25519, key.ed25519)
        if signature is None:
            continue
        if not verify_ed25519(key.ed25519, note.body.encode(), signature):
            raise _wrong("Ed25519")
        lasting = key.mldsa65 and _line(note, name, ML_DSA_65, key.mldsa65)
        if lasting:
            verdict = verify_ml_dsa_65(key.mldsa65, note.body.encode(), lasting)
            if verdict is False:
                raise _wrong("ML-DSA-65")
            if verdict is None:
                unverified.append("ML-DSA-65 line of a checkpoint: not verified by this tool")
            note.post_quantum = True
            note.post_quantum_verified = verdict is True
        return note
    raise Refusal("note_unsigned", "checkpoint carries no valid signature by a trusted boot key")


def _wrong(what):
    return Refusal("note_wrong_signature", f"a wrong {what} signature by a trusted key")


def _line(note, name, kind, public):
    wanted = key_id(name, kind, public)
    found = (data[4:] for line, data in note.lines if line == name and data[:4] == wanted)
    return next(found, None)


def cosigned_by(note, witnesses):
    """Who of `witnesses` (name to Ed25519 key) cosigned a parsed Note: name to Unix
    seconds, the latest each. Raises Refusal if a line under a known key is wrong."""
    found = {}
    for name, data in note.lines:
        key = witnesses.get(name)
        if key is None or data[:4] != key_id(name, COSIGNATURE, key):
            continue
        seconds, signature = int.from_bytes(data[4:12], "big"), data[12:]
        message = f"cosignature/v1\ntime {seconds}\n{note.body}".encode()
        if seconds >= 1 << 63 or not verify_ed25519(key, message, signature):
            raise _wrong("cosignature")
        found[name] = max(seconds, found.get(name, 0))
    return found


def verifier_key(text):
    """Key and name of a C2SP verifier key `name+hash+base64(type || key)`, Ed25519."""
    try:
        name, digest, encoded = text.split("+", 2)
        data = from_b64(encoded)
        public = data[1:]
        if data[:1] == ED25519 and len(public) == 32:
            if key_id(name, ED25519, public).hex() == digest:
                return name, Key(public)
    except (ValueError, Refusal):
        pass
    raise ValueError("no Ed25519 verifier key: use name+hash+base64, as C2SP signed-note writes it")
