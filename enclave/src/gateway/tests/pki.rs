//! Certificate authorities and leaves for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use crate::api::{Anchor, ApplianceRole, Grants, Role, RoleMapping, Trust};

/// The appliance's time in tests, Unix seconds: not the machine's on purpose.
pub(super) const NOW: i64 = 4_000_000_000;

/// A CA with its key.
pub(super) struct Ca {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain, leaf first, with the leaf's key.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        Self {
            certificates: self.certificates.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// What to put into a leaf.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) common_name: &'static str,
    pub(super) dns: Vec<&'static str>,
    pub(super) uri: Option<&'static str>,
    pub(super) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            common_name: "client",
            dns: vec![],
            uri: None,
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            from: NOW - 3600,
            until: NOW + 3600,
        }
    }
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = at(NOW - 1_000_000);
    params.not_after = at(NOW + 1_000_000);
    params
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().unwrap());
        Self {
            certificate: params.self_signed(&key).unwrap().into(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A CA under this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().unwrap());
        Self {
            certificate: params.signed_by(&key, &self.issuer).unwrap().into(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn issue(&self, leaf: Leaf) -> Chain {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, leaf.common_name);
        let dns = leaf
            .dns
            .iter()
            .map(|name| SanType::DnsName((*name).try_into().unwrap()));
        let uri = leaf.uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names = dns.chain(uri).collect();
        params.extended_key_usages = leaf.usages;
        params.not_before = at(leaf.from);
        params.not_after = at(leaf.until);
        let key = KeyPair::generate().unwrap();
        Chain {
            certificates: vec![params.signed_by(&key, &self.issuer).unwrap().into()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

impl Chain {
    pub(super) fn with(mut self, intermediate: &Ca) -> Self {
        self.certificates.push(intermediate.certificate.clone());
        self
    }
}

/// Every CA of a small appliance.
pub(super) struct World {
    pub(super) server: Ca,
    pub(super) bank_a: Ca,
    pub(super) bank_b: Ca,
    pub(super) auditor: Ca,
    pub(super) officer: Ca,
    pub(super) operator: Ca,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            server: Ca::new("appliance"),
            bank_a: Ca::new("bank a"),
            bank_b: Ca::new("bank b"),
            auditor: Ca::new("auditor"),
            officer: Ca::new("officer"),
            operator: Ca::new("operator"),
        }
    }

    /// Tenant a maps two names and has no default; tenant b has a default only.
    pub(super) fn anchors(&self) -> Vec<Anchor> {
        let mapping = |san: &str, role| RoleMapping {
            san: san.to_owned(),
            role,
        };
        let tenant = |ca: &Ca, id: &str, roles, default_role| Anchor {
            certificate: ca.certificate.clone(),
            grants: Grants::Tenant {
                tenant: id.parse().unwrap(),
                roles,
                default_role,
            },
        };
        let appliance = |ca: &Ca, role| Anchor {
            certificate: ca.certificate.clone(),
            grants: Grants::Appliance(role),
        };
        let roles = vec![
            mapping("reader.a.example", Role::ReadOnly),
            mapping("api.a.example", Role::Bank),
            mapping("urn:a:api", Role::Bank),
        ];
        vec![
            tenant(&self.bank_a, "bank-a", roles, None),
            tenant(&self.bank_b, "bank-b", vec![], Some(Role::Bank)),
            appliance(&self.auditor, ApplianceRole::Auditor),
            appliance(&self.officer, ApplianceRole::Officer),
            appliance(&self.operator, ApplianceRole::Operator),
        ]
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust_with(self.anchors())
    }

    pub(super) fn trust_with(&self, anchors: Vec<Anchor>) -> Trust {
        let chain = self.server.issue(Leaf {
            dns: vec!["localhost"],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
            ..Leaf::default()
        });
        Trust::new(chain.certificates, chain.key, anchors).unwrap()
    }

    /// A client of tenant a with its bank role.
    pub(super) fn client_a(&self) -> Chain {
        self.bank_a.issue(Leaf {
            dns: vec!["api.a.example"],
            ..Leaf::default()
        })
    }
}
