//! From a validated chain to a [`Peer`].
//!
//! Protects against: two identities for one chain, and authority taken from a
//! name. Each anchor is tried alone; exactly one must validate the chain. Names
//! in the leaf only choose among the roles that this anchor's tenant recorded.

use aws_lc_rs::digest;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::api::{Anchor, Grants, Identity, Peer, Role, RoleMapping};

/// Intermediates a client may present.
const INTERMEDIATES_MAX: usize = 4;
/// Bytes of one certificate.
const CERTIFICATE_MAX: usize = 8 * 1024;

/// The anchors, parsed once.
pub(super) struct Anchors {
    parsed: Vec<(TrustAnchor<'static>, Grants)>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Anchors {
    pub(super) fn new(
        anchors: &[Anchor],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, webpki::Error> {
        let parse = |anchor: &Anchor| {
            let parsed = webpki::anchor_from_trusted_cert(&anchor.certificate)?.to_owned();
            Ok((parsed, anchor.grants.clone()))
        };
        Ok(Self {
            parsed: anchors.iter().map(parse).collect::<Result<_, _>>()?,
            algorithms,
        })
    }

    pub(super) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// Who the chain proves the peer to be, or why it proves nobody.
    pub(super) fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Peer, Error> {
        check_sizes(leaf, intermediates)?;
        let end_entity = EndEntityCert::try_from(leaf).map_err(refusal)?;
        let mut found = None;
        let mut reason = webpki::Error::UnknownIssuer;
        for (anchor, grants) in &self.parsed {
            match self.validates(&end_entity, anchor, intermediates, now) {
                Ok(()) if found.replace(grants).is_some() => return Err(two_anchors()),
                Ok(()) => {}
                Err(webpki::Error::UnknownIssuer) => {}
                Err(error) => reason = error,
            }
        }
        let grants = found.ok_or_else(|| refusal(reason))?;
        peer(leaf, grants)
    }

    fn validates(
        &self,
        leaf: &EndEntityCert<'_>,
        anchor: &TrustAnchor<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        leaf.verify_for_usage(
            self.algorithms.all,
            std::slice::from_ref(anchor),
            intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map(|_| ())
    }
}

fn check_sizes(leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
    let fits = |certificate: &CertificateDer<'_>| certificate.len() <= CERTIFICATE_MAX;
    if chain.len() <= INTERMEDIATES_MAX && fits(leaf) && chain.iter().all(fits) {
        return Ok(());
    }
    Err(Error::General(
        "client certificate chain is too large".to_owned(),
    ))
}

fn two_anchors() -> Error {
    Error::General("client certificate chain is validated by more than one anchor".to_owned())
}

fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as E;
    let reason = match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertExpired { .. } | E::InvalidCertValidity => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(rustls::OtherError(std::sync::Arc::new(other))),
    };
    Error::InvalidCertificate(reason)
}

fn peer(leaf: &CertificateDer<'_>, grants: &Grants) -> Result<Peer, Error> {
    let unreadable = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    let identity = match grants {
        Grants::Appliance(role) => Identity::Appliance(*role),
        Grants::Tenant {
            tenant,
            roles,
            default_role,
        } => Identity::Tenant {
            tenant: tenant.clone(),
            role: mapped_role(&parsed, roles)
                .map_err(|()| unreadable())?
                .or(*default_role),
        },
    };
    let mut leaf_sha256 = [0; 32];
    leaf_sha256.copy_from_slice(digest::digest(&digest::SHA256, leaf).as_ref());
    let not_after = parsed.validity().not_after.timestamp();
    Ok(Peer {
        identity,
        leaf_sha256,
        not_after: u64::try_from(not_after).unwrap_or(0),
    })
}

/// The first mapping, in the tenant's order, that names one of the leaf's names.
fn mapped_role(leaf: &X509Certificate<'_>, roles: &[RoleMapping]) -> Result<Option<Role>, ()> {
    if roles.is_empty() {
        return Ok(None);
    }
    let Some(names) = leaf.subject_alternative_name().map_err(|_| ())? else {
        return Ok(None);
    };
    let names = &names.value.general_names;
    let named = |mapping: &&RoleMapping| names.iter().any(|name| is_called(name, &mapping.san));
    Ok(roles.iter().find(named).map(|mapping| mapping.role))
}

fn is_called(name: &GeneralName<'_>, san: &str) -> bool {
    match name {
        GeneralName::DNSName(dns) => dns.eq_ignore_ascii_case(san),
        GeneralName::RFC822Name(text) | GeneralName::URI(text) => *text == san,
        _ => false,
    }
}
