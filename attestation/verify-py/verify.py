#!/usr/bin/env python3
"""Judges what a Redoubt appliance hands out: attestation documents, receipts, artefacts of
approvals, ledger checkpoints. Needs Python 3.11 and the package `cryptography`, no network.

    verify.py FILE... [--root PEM] [--policy FILE] [--at T] [--json]

Exit status: 0 yes (every file), 1 no, 2 wrong usage or unreadable input.
"""

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

sys.dont_write_bytecode = True
from redoubt_verify import artefact, binding, document, genesis, note, receipt  # noqa: E402
from redoubt_verify.refusal import Refusal, members, parse_json, sha256  # noqa: E402

KINDS = ("document", "receipt", "artefact", "checkpoint")
FILE_MAX = 4 * 1024 * 1024


class Report:
    """What was checked in one file. `unverified` names what this tool could not judge; it
    is never counted as verified."""

    def __init__(self, file, kind):
        self.file, self.kind = file, kind
        self.checks, self.unverified, self.facts, self.refusal = [], [], {}, None

    def passed(self, name):
        """Notes a check that held."""
        self.checks.append(name)

    def muted(self):
        """A report whose checks and facts nobody reads; what it could not judge stays told."""
        other = Report(self.file, self.kind)
        other.unverified = self.unverified
        return other

    def to_json(self):
        """One line of JSON; `code` and `reason` only where it is a no."""
        no = self.refusal and {"code": self.refusal.code, "reason": str(self.refusal)}
        checks = [{"name": name, "ok": True} for name in self.checks]
        head = {"file": self.file, "kind": self.kind, "ok": not no, **(no or {})}
        return json.dumps({**head, "checks": checks, "unverified": self.unverified, **self.facts})

    def to_text(self):
        """Lines for people."""
        lines = [f"{self.kind} {self.file}", *(f"  ✓ {name}" for name in self.checks)]
        lines += [f"  ? {what}" for what in self.unverified]
        lines += [f"  {name}: {value}" for name, value in self.facts.items()]
        no = self.refusal
        lines.append(f"no: {no} ({no.code})" if no else "yes")
        return "\n".join(lines)


def kind_of(data):
    """Which of KINDS a file (bytes) is by its first bytes; a document if nothing else."""
    start = data.lstrip()[:1]
    if data.startswith(note.ORIGIN.encode()):
        return "checkpoint"
    if start != b"{":
        return "document"
    try:
        return "artefact" if "payload" in parse_json(data) else "receipt"
    except Refusal:
        return "receipt"


def judge(report, data, trust, arguments):
    """Judges `data` (bytes); fills the report."""
    try:
        if report.kind == "document":
            judge_document(report, data, trust, arguments.at)
        elif report.kind == "checkpoint":
            judge_checkpoint(report, data, trust, arguments)
        elif len(data) > FILE_MAX:
            raise Refusal("malformed", "larger than 4 MiB")
        else:
            module = artefact if report.kind == "artefact" else receipt
            module.verify(parse_json(data), trust, arguments.at, report)
    except Refusal as refusal:
        report.refusal = refusal
    except Exception as error:  # whatever has no name of its own is still a no
        report.refusal = Refusal("malformed", f"{type(error).__name__}: {error}")


def judge_document(report, data, trust, at_ms):
    """A document against the pinned roots; what it binds is not looked at."""
    said = binding.under_any_root(data, trust, at_ms)
    if said.signed:
        report.passed("signed under the pinned root")
    else:
        report.passed("bears every marker of documents that nobody signs")
        report.unverified.append(document.NOBODY_SIGNED)
    length = lambda field: None if field is None else len(field)
    report.facts.update(
        signed=said.signed, module_id=said.module_id, timestamp_ms=said.timestamp_ms, debug=said.debug,
        pcrs={str(index): value.hex() for index, value in sorted(said.pcrs.items())},
        user_data_len=length(said.user_data), nonce_len=length(said.nonce),
        public_key_len=length(said.public_key), sha256=said.sha256.hex(),
    )


def judge_checkpoint(report, data, trust, arguments):
    """A signed note under the keys of `--evidence` or `--key`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise note.malformed("not UTF-8") from error
    boots = [binding.judge(kept, trust, arguments.at) for kept in arguments.evidence]
    opened = note.open_note(text, [*(boot.note_key for boot in boots), *(
        key for name, key in arguments.key if text.startswith(name + "\n")
    )], report.unverified)
    if opened.signer < len(boots):
        if opened.ledger not in boots[opened.signer].ledgers:
            raise Refusal("note_unsigned", "its signer's document does not bind this ledger")
        report.passed("signed by a boot whose document is genuine and binds this ledger")
    else:
        report.passed("signed by the key that was given")
        report.unverified.append("that an enclave holds that key: no --evidence shows it")
    report.facts.update(
        ledger=opened.ledger.hex(), tree_size=opened.size, root=opened.root.hex(),
        post_quantum_head=opened.post_quantum,
        cosigned=note.cosigned_by(opened, trust.witnesses),
    )


def root_der(pem):
    """DER of the one certificate in a PEM text; Refusal `trust` otherwise."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise Refusal("trust", "no certificate in PEM") from error
    if len(found) != 1:
        raise Refusal("trust", "more than one certificate; give one")
    return found[0].public_bytes(Encoding.DER)


def moment(text):
    """Unix milliseconds of RFC 3339 or Unix seconds."""
    if text.isdigit():
        return int(text) * 1000
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("say the time zone")
    if time < datetime(1970, 1, 1, tzinfo=timezone.utc):
        raise ValueError("before 1970")
    return int((time - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1000)


def kept_documents(path):
    """Documents with preimages in a receipt, an artefact or a trust folder's evidence."""
    value = parse_json(Path(path).read_bytes())
    value = value.get("receipt", value)
    found = [value] if "document" in value else value.get("evidence", [])
    if not found:
        raise ValueError("no evidence in it")
    return [members(one, ("document", "preimage"), one) for one in found]


def usable(read):
    """`read` for argparse: whatever goes wrong in it is wrong usage, said with the value."""
    def checked(text):
        try:
            return read(text)
        except Exception as error:  # a file of any shape may be given
            raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return checked


def pinned(arguments):
    """The Trust that --policy or --root pins; AWS Nitro Enclaves root G1 without them."""
    if arguments.policy:
        trust = genesis.from_policy(Path(arguments.policy).read_bytes(), root_der)
        if arguments.root:
            wanted = sha256(root_der(Path(arguments.root).read_text())).hex()
            # One of the manifest's, never another.
            if wanted not in trust.roots:
                raise Refusal("trust", "--root is none of the manifest's roots")
            trust.roots = [wanted]
            for one in trust.before:
                one.roots = [root for root in one.roots if root == wanted]
        return trust
    if arguments.root:
        return genesis.Trust([sha256(root_der(Path(arguments.root).read_text())).hex()])
    return genesis.Trust([document.AWS_ROOT_G1])


def arguments_of(argv):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Judges documents, receipts, artefacts and checkpoints offline.",
        epilog="Exit status: 0 yes, 1 no, 2 wrong usage or unreadable input.",
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="COSE document, JSON, or signed note")
    add("--root", metavar="PEM", help="vendor root [default: AWS Nitro Enclaves root G1]")
    add("--policy", metavar="FILE", help="client policy that pins the genesis")
    add("--at", metavar="T", type=usable(moment), help="RFC 3339 or Unix seconds [default: document's]")
    add("--evidence", metavar="FILE", type=usable(kept_documents), default=[],
        help="receipt or evidence.json with the documents of a checkpoint's boot")
    add("--key", metavar="VKEY", type=usable(note.verifier_key), action="append", default=[],
        help="C2SP verifier key of a checkpoint")
    add("--kind", choices=KINDS, help="what the files are [default: seen by their bytes]")
    add("--json", action="store_true", help="one line of JSON for each file")
    return parser.parse_args(argv)


def unusable(why):
    """Says what is wrong with the command line or a file; the exit status for it."""
    print(f"verify.py: {why}", file=sys.stderr)
    return 2


def main(argv):
    """Judges every file; returns the exit status."""
    arguments = arguments_of(argv)
    try:
        trust = pinned(arguments)
        files = [(file, Path(file).read_bytes()) for file in arguments.files]
    except (OSError, UnicodeDecodeError, Refusal) as error:
        return unusable(error)
    except Exception as error:  # a policy of any shape may be given
        return unusable(f"the policy is none: {type(error).__name__}: {error}")
    status = 0
    for file, data in files:
        report = Report(file, arguments.kind or kind_of(data))
        if report.kind == "checkpoint" and not (arguments.evidence or arguments.key):
            return unusable("a checkpoint needs --evidence or --key")
        judge(report, data, trust, arguments)
        print(report.to_json() if arguments.json else report.to_text())
        status |= report.refusal is not None
    return status


if __name__ == "__main__":
    # Names and claims may hold what a terminal cannot show.
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
