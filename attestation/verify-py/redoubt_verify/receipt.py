"""Receipts and their anchors, judged as enclave/SPEC.md section 5 says, step by step."""

from . import binding
from .merkle import commitment, leaf_hash, parse_header, root_from
from .note import cosigned_by, open_note
from .refusal import (
    TENANT, Refusal, from_b64u, from_hex, listed, members, name, parse_json, text, uint,
)

EVIDENCE_MAX = 16
PATH = ("salt", "event_index", "event_count", "event_path", "header", "tree_size", "leaf_path")
STATE, CLAIMS = 0, 1


def verify(receipt, trust, at_ms, report):
    """Judges a receipt (parsed JSON) under a Trust; fills `report`. Returns (claims,
    boot that signed the head). Raises Refusal."""
    members(receipt, ("type", "claims", *PATH, "checkpoint"), ("anchor", "evidence"))
    boots = _boots(receipt, trust, at_ms)
    signed = binding.note_unsigned(boots, report)
    report.passed(f"documents are {signed} and of the pinned genesis")
    note, claims, header = _in_ledger(receipt, boots, report)
    report.passed("claim is in the ledger under a head that an attested key signed")
    _typed(claims)
    boot = _claimed_boot(claims, boots)
    _check_head(boots[note.signer], trust)
    _check_claims(claims, boot, trust, report)
    if boot.ledgers.get(header.ledger, "") != claims["tenant"]:
        raise Refusal("other_ledger", "its document does not bind this ledger to the tenant")
    report.passed("claim agrees with its attestation document")
    _check_freshness(receipt, claims, note, (boot, boots), trust, report)
    report.passed("head is in the appliance's ledger, cosigned as the manifest asks")
    report.facts.update(
        type=claims.get("type"), receipt_id=claims.get("receipt_id"), tenant=claims["tenant"],
        policy_bundle=claims.get("policy_bundle"), policy_ruling=claims.get("policy_ruling"),
        ledger=header.ledger.hex(), index=header.index, tree_size=note.size, root=note.root.hex(),
        post_quantum_head=note.post_quantum_verified, **binding.describe(boot),
    )
    return claims, boots[note.signer]


def _boots(receipt, trust, at_ms):
    evidence = listed(receipt.get("evidence", []))
    if not evidence:
        raise Refusal("no_evidence", "the receipt carries no evidence; fetch it again by its id")
    if len(evidence) > EVIDENCE_MAX:
        raise Refusal("malformed", "more than 16 documents")
    for one in evidence:
        members(one, ("document", "preimage"))
    kept = [(one, trust.named(from_b64u(one["preimage"]))) for one in evidence]
    return [binding.judge(one, then, at_ms) for one, then in kept]


def _check_head(boot, trust):
    """Of heads, only those by a boot under the pinned manifest itself are believed."""
    if trust.manifest and boot.preimage["genesis"] != trust.digest:
        raise Refusal(
            "head_before", "its head is signed under a manifest before the pinned one: fetch it "
            "again, or judge it by the policy of its time"
        )


def _under_receipt(refusal):
    """The first verifier calls all that is wrong with a note in a receipt `receipt`."""
    return Refusal("receipt", str(refusal))


def _in_ledger(receipt, boots, report):
    if receipt["type"] != "redoubt/receipt/v1":
        raise Refusal("receipt", "no receipt of version 1")
    header = parse_header(receipt["header"], "receipt")
    try:
        note = open_note(
            text(receipt["checkpoint"]), [boot.note_key for boot in boots], report.unverified
        )
    except Refusal as refusal:
        raise _under_receipt(refusal) from refusal
    claims_text = text(receipt["claims"])
    _included(receipt, header, note, (CLAIMS, claims_text.encode()), "receipt")
    claims = parse_json(claims_text, "receipt")
    if not isinstance(claims, dict):
        raise Refusal("receipt", "claims are no object")
    _claimed_boot(claims, boots)
    if not note.post_quantum:
        raise Refusal("receipt", "the checkpoint lacks the ML-DSA-65 line of its boot")
    return note, claims, header


def _included(proof, header, note, event, code):
    """Event, entry and tree of a receipt or an anchor; refusals under `code`."""
    size = uint(proof["tree_size"])
    if note.ledger != header.ledger or note.size != size:
        raise Refusal(code, "for another ledger or size than its checkpoint")
    salt = from_b64u(proof["salt"], code)
    if len(salt) != 32:
        raise Refusal(code, "a salt has 32 bytes")
    leaf = leaf_hash(commitment(event[0], salt, event[1]))
    index, count = uint(proof["event_index"]), uint(proof["event_count"])
    if root_from(leaf, index, count, _hashes(proof["event_path"], code)) != header.events_root:
        raise Refusal(code, "the event is not what its entry committed to")
    path = _hashes(proof["leaf_path"], code)
    if root_from(leaf_hash(header.encoded), header.index, size, path) != note.root:
        raise Refusal(code, "the entry is not in the tree that its checkpoint signs")


def _hashes(path, code):
    return [from_hex(one, 32, code) for one in listed(path)]


def _typed(claims):
    """Checks the type of what every claim says of its term; Refusal `malformed`."""
    name(claims.get("tenant"), TENANT)
    for member in ("document", "policy", "config", "models"):
        from_hex(claims.get(member), 32)
    text(claims.get("environment"))
    text(claims.get("freshness"))
    if claims.get("unwitnessed_ms") is not None:
        uint(claims["unwitnessed_ms"])


def _claimed_boot(claims, boots):
    for boot in boots:
        if boot.document.sha256.hex() == claims.get("document"):
            return boot
    raise Refusal("receipt", "made under a document that is not among the evidence")


def _check_claims(claims, boot, trust, report):
    pairs = [(member, boot.preimage[member]) for member in ("policy", "config", "models")]
    if trust.manifest:
        pairs.insert(0, ("environment", trust.environment))
    else:
        report.unverified.append("environment, measurement, genesis: no --policy pins them")
    for member, bound in pairs:
        if claims[member] != bound:
            raise Refusal("contradiction", f"the claim says another {member} than its document")


def _check_freshness(receipt, claims, note, boots, trust, report):
    claimed, boots = boots
    line = {one.digest: one for one in (trust, *trust.before)}
    then = line.get(claimed.preimage["genesis"], trust)
    policy = (then.manifest or {}).get("witness_policy")
    asked = ("none", None)
    if policy is not None:
        lease = policy.get("lease_ms", 2000) if policy["mode"] == "lease" else 0
        asked = (policy["mode"], lease)
    said = (claims["freshness"], claims.get("unwitnessed_ms"))
    if trust.manifest is None:
        report.unverified.append("freshness and witnesses: no --policy names them")
    elif said != asked:
        raise Refusal("freshness", f"the claim says {said}; the manifest asks for {asked}")
    anchor = receipt.get("anchor")
    cosigned = {} if anchor is None else _anchored(anchor, note, boots, trust, report)
    # The claim is of its time; its head is of now.
    policy = (trust.manifest or {}).get("witness_policy")
    quorum = 0 if policy is None else policy["k"]
    if anchor is None and quorum:
        raise Refusal("not_anchored", "no anchor, though the manifest names witnesses")
    if len(cosigned) < quorum:
        raise Refusal("not_cosigned", f"{len(cosigned)} witnesses cosigned; {quorum} are needed")
    report.facts.update(freshness=said[0], unwitnessed_ms=said[1], cosigned=cosigned)


def _anchored(anchor, head, boots, trust, report):
    members(anchor, ("event", *PATH, "checkpoint"))
    header = parse_header(anchor["header"], "anchor")
    try:
        note = open_note(
            text(anchor["checkpoint"]), [boot.note_key for boot in boots], report.unverified
        )
        cosigned = cosigned_by(note, trust.witnesses)
    except Refusal as refusal:
        raise Refusal("anchor", str(refusal)) from refusal
    event = from_b64u(anchor["event"], "anchor")
    if event != heads_event(head):
        raise Refusal("anchor", "it records another head than the receipt's checkpoint")
    _included(anchor, header, note, (STATE, event), "anchor")
    _check_head(boots[note.signer], trust)
    if boots[note.signer].appliance_ledger != note.ledger:
        raise Refusal("anchor_ledger", "not the appliance's ledger of its signer's document")
    return cosigned


def heads_event(head):
    """The one encoding (postcard) of the event that records this head and no other."""
    size, varint = head.size, b""
    while size > 0x7F:
        varint += bytes([size & 0x7F | 0x80])
        size >>= 7
    return b"\x02\x01" + head.ledger + varint + bytes([size]) + head.root
