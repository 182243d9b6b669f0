"""Nitro attestation documents: what they say, and whether a pinned root vouches for it.

COSE_Sign1 is RFC 9052, ES384 is RFC 9053 section 2.1; the payload and its bounds are
AWS's "Nitro Enclaves attestation process". Document bytes are no identity: every
signature has a second valid form.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .cbor import Reader, byte_string
from .chain import leaf_key
from .refusal import Refusal, sha256

# SHA-256 of the certificate of AWS Nitro Enclaves root G1.
AWS_ROOT_G1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
FIELD_MAX = 1024
DOCUMENT_MAX = 64 * 1024
CABUNDLE_MAX = 16
ES384 = -35
QEMU_UNSIGNED = b"\xa1\x01\x20"
# Stands among pinned roots where documents that nobody signed are named.
UNSIGNED = "nitro_unsigned"
NOBODY_SIGNED = (
    "NOBODY SIGNED a document: anybody can have written it; it proves nothing about a machine, "
    "an image, or who holds these keys"
)


@dataclass
class Document:
    """What a document says. Times are Unix milliseconds, all else is bytes as received."""

    module_id: str
    timestamp_ms: int
    pcrs: dict
    certificate: bytes
    cabundle: list
    public_key: bytes
    user_data: bytes
    nonce: bytes
    sha256: bytes = b""
    signed: bool = True

    @property
    def debug(self):
        """Debug mode: PCR 0 to 2 are zero or absent; the host can read its memory."""
        return not any(any(self.pcrs.get(index, b"")) for index in range(3))


def verify(data, root_sha256, at_ms=None):
    """Verifies a document (bytes) against the root whose certificate has this SHA-256
    (hex), its certificates at `at_ms` (Unix milliseconds) or at its own time. UNSIGNED in
    place of a root takes exactly what QEMU's emulated security module writes, by its
    markers alone. Returns a Document; raises Refusal."""
    if root_sha256 == UNSIGNED:
        return _unsigned(data)
    protected, payload, signature, document = _parse(data)
    at_ms = document.timestamp_ms if at_ms is None else at_ms
    key = leaf_key(document.certificate, document.cabundle, root_sha256, at_ms)
    if len(signature) != 96:
        raise Refusal("signature_length", f"{len(signature)} bytes; ES384 has 96")
    r, s = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    signed = b"\x84\x6aSignature1" + b"".join(map(byte_string, (protected, b"", payload)))
    try:
        # High s is accepted: the field is full of it.
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        text = "the signature does not verify under the certificate's key"
        raise Refusal("bad_signature", text) from error
    document.sha256 = sha256(data)
    return document


def _unsigned(data):
    """enclave/SPEC.md section 7, `nitro_unsigned`: every marker, nothing that looks signed."""
    protected, payload, signature, _ = _wrapper(data)
    document, zeros = _checked(_fields(payload)), bytes(64)
    if protected != QEMU_UNSIGNED:
        raise Refusal("not_unsigned", "signed, or not as QEMU's emulated security module writes")
    for field, there in (
        ("signature", signature == zeros),
        ("certificate", document.certificate == zeros),
        ("cabundle", document.cabundle == [zeros]),
        ("pcrs", all(len(pcr) == 48 for pcr in document.pcrs.values())),
    ):
        if not there:
            raise Refusal("unsigned_marker", f"unsigned, but its {field} is not what QEMU writes")
    document.sha256, document.signed = sha256(data), False
    return document


def _wrapper(data):
    if len(data) > DOCUMENT_MAX:
        raise Refusal("too_large", f"{len(data)} bytes; none has more than {DOCUMENT_MAX}")
    protected, payload, signature = _cose_sign1(data)
    return protected, payload, signature, _algorithm(protected)


def _parse(data):
    protected, payload, signature, algorithm = _wrapper(data)
    if protected == QEMU_UNSIGNED or not any(signature):
        raise Refusal("unsigned", "unsigned, as QEMU's emulated security module makes them")
    if algorithm != ES384:
        raise Refusal("wrong_algorithm", f"algorithm {algorithm}; documents have ES384 (-35)")
    return protected, payload, signature, _checked(_fields(payload))


def _cose_sign1(data):
    reader = Reader(data)
    tag = reader.tag()
    if tag not in (None, 18):
        raise Refusal("wrong_tag", f"CBOR tag {tag}; COSE_Sign1 has tag 18 or none")
    parts = []
    for _ in reader.items(4):
        if len(parts) == 4:
            raise Refusal("not_cose_sign1", "no array of four")
        if len(parts) == 1:
            for _ in reader.items(5):
                raise Refusal("unprotected_header", "nothing in that header is signed")
            parts.append(None)
        else:
            parts.append(reader.bytes())
    if len(parts) != 4:
        raise Refusal("not_cose_sign1", "no array of four")
    reader.end()
    return parts[0], parts[2], parts[3]


def _algorithm(protected):
    reader, found = Reader(protected), None
    for _ in reader.items(5):
        if reader.int() != 1:
            raise Refusal("protected_header", "holds more than the algorithm")
        if found is not None:
            raise Refusal("duplicate_algorithm", "names the algorithm twice")
        found = reader.int()
    reader.end()
    if found is None:
        raise Refusal("protected_header", "names no algorithm")
    return found


def _fields(payload):
    reader, fields = Reader(payload), {}
    read = {
        "module_id": reader.text,
        "digest": reader.text,
        "timestamp": reader.uint,
        "pcrs": lambda: _pcrs(reader),
        "certificate": reader.bytes,
        "cabundle": lambda: _cabundle(reader),
        "public_key": reader.bytes_or_null,
        "user_data": reader.bytes_or_null,
        "nonce": reader.bytes_or_null,
    }
    for _ in reader.items(5):
        name = reader.text()
        if name not in read:
            raise Refusal("unknown_field", "a field that no specification knows")
        value = read[name]()
        if name in fields:
            raise Refusal("duplicate_field", f"the field {name} stands twice")
        fields[name] = value
    reader.end()
    return fields


def _pcrs(reader):
    pcrs = {}
    for _ in reader.items(5):
        index, value = reader.uint(), None
        if index > 31:
            raise Refusal("pcr_index", f"PCR {index}; 0 to 31 are allowed")
        value = reader.bytes()
        if len(value) not in (32, 48, 64):
            raise Refusal("pcr_length", f"PCR {index} has {len(value)} bytes")
        if index in pcrs:
            raise Refusal("duplicate_pcr", f"PCR {index} stands twice")
        pcrs[index] = value
    return pcrs


def _cabundle(reader):
    bundle = []
    for _ in reader.items(4):
        if len(bundle) == CABUNDLE_MAX:
            raise Refusal("cabundle_count", f"more than {CABUNDLE_MAX} certificates")
        bundle.append(reader.bytes())
    return bundle


def _checked(fields):
    for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"):
        if name not in fields:
            raise Refusal("missing_field", f"no field {name}")
    optional = {name: fields.get(name) for name in ("public_key", "user_data", "nonce")}
    long = [name for name, value in optional.items() if value and len(value) > FIELD_MAX]
    bounds = [
        ("module_id_empty", fields["module_id"] == ""),
        ("wrong_digest", fields["digest"] != "SHA384"),
        ("timestamp_zero", fields["timestamp"] == 0),
        ("pcr_count", not fields["pcrs"]),
        ("certificate_length", not 1 <= len(fields["certificate"]) <= FIELD_MAX),
        ("cabundle_empty", not fields["cabundle"]),
        (
            "cabundle_certificate_length",
            any(not 1 <= len(der) <= FIELD_MAX for der in fields["cabundle"]),
        ),
        *((f"{name}_length", True) for name in long),
    ]
    for code, wrong in bounds:
        if wrong:
            raise Refusal(code, "a field is outside the bounds of AWS's specification")
    return Document(
        fields["module_id"],
        fields["timestamp"],
        fields["pcrs"],
        fields["certificate"],
        fields["cabundle"],
        **optional,
    )
