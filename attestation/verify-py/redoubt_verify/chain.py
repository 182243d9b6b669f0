"""Certification path validation (RFC 5280 section 6.1) from a document's leaf to its root.

The anchor is the one pinned certificate, a name and a key: its own validity is not
looked at (section 6.1.1 d). Only ECDSA with SHA-384 on P-384 counts.
"""

from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from .refusal import Refusal, sha256

# Extensions whose meaning is acted upon; any other critical one refuses the path.
KNOWN = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def leaf_key(leaf_der, bundle, root_sha256, at_ms):
    """The leaf's P-384 public key, if a path leads from it to the first certificate of
    `bundle` (DER, root first), which must have this SHA-256 (hex), with every
    certificate valid at `at_ms` (Unix milliseconds). Raises Refusal."""
    found = sha256(bundle[0]).hex()
    if found != root_sha256:
        raise Refusal("root_not_pinned", f"its root has SHA-256 {found}; pinned is {root_sha256}")
    root, leaf = _load(bundle[0]), _load(leaf_der)
    intermediates = [_load(der) for der in bundle[1:]]
    at = _moment(at_ms)
    _check_validity(leaf, at)
    _check_leaf(leaf)
    _climb(leaf, root, intermediates, at, [])
    _check_usage(leaf, "digital_signature", "leaf_may_not_sign")
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise Refusal("leaf_key_not_p384", "the certificate holds no P-384 key")
    return key


def _moment(at_ms):
    try:
        return EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError:
        return datetime.max.replace(tzinfo=timezone.utc)


def _load(der):
    try:
        certificate = x509.load_der_x509_certificate(der)
        list(certificate.extensions)
        certificate.public_key()
        return certificate
    except Exception as error:  # the parser's errors are of many kinds
        raise Refusal("certificate_malformed", f"a certificate is malformed: {error}") from error


def _extension(certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_validity(certificate, at):
    if at > certificate.not_valid_after_utc:
        raise Refusal("certificate_expired", "a certificate had expired at that time")
    if at < certificate.not_valid_before_utc:
        raise Refusal("certificate_not_yet_valid", "a certificate was not yet valid then")


def _check_common(certificate):
    unknown = [e for e in certificate.extensions if e.critical and not isinstance(e.value, KNOWN)]
    if certificate.version != x509.Version.v3:
        raise Refusal("certificate_malformed", "no X.509 v3")
    if unknown:
        raise Refusal("critical_extension", "a critical extension that is not understood")


def _check_leaf(leaf):
    _check_common(leaf)
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Refusal("leaf_is_ca", "the signing certificate is one of an authority")
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise Refusal("chain_broken", "the leaf is for another use")


def _check_usage(certificate, member, code):
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not getattr(usage, member):
        raise Refusal(code, f"its key usage lacks {member}")


def _issued(subject, issuer):
    """Whether `issuer` signed `subject` with ECDSA, SHA-384, P-384."""
    key = issuer.public_key()
    if subject.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        return False
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        return False
    try:
        subject.verify_directly_issued_by(issuer)
        return True
    except (ValueError, TypeError, InvalidSignature):
        return False


def _climb(subject, root, intermediates, at, above_leaf):
    """Finds a path upwards; `above_leaf` are the authorities already on it."""
    if _issued(subject, root):
        # A path length on the anchor itself is not part of the anchor (6.1.1 d).
        return
    refusal = None
    for issuer in intermediates:
        if issuer in above_leaf or not _issued(subject, issuer):
            continue
        try:
            _check_authority(issuer, at, len(above_leaf))
            return _climb(issuer, root, intermediates, at, [*above_leaf, issuer])
        except Refusal as error:
            refusal = refusal or error
    raise refusal or Refusal("chain_broken", "the certificates do not lead to the root")


def _check_authority(issuer, at, below):
    """`below` counts the authorities between this one and the leaf."""
    _check_validity(issuer, at)
    _check_common(issuer)
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Refusal("issuer_not_ca", "an issuer is no authority")
    if constraints.path_length is not None and below > constraints.path_length:
        raise Refusal("path_too_long", "more authorities than an issuer allows below it")
    _check_usage(issuer, "key_cert_sign", "issuer_may_not_sign")
