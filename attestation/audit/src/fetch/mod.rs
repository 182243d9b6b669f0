//! An HTTPS connection whose other end is proven to be the appliance.
//!
//! Protects against a man in the middle with a valid certificate, and against a
//! genuine document shown by somebody else: the server's certificate is taken
//! provisionally (only its key must have signed the handshake), the TLS exporter
//! of this very session goes into the nonce, and nothing but the request for
//! evidence is sent before the evidence holds for this session and key.

mod evidence;
mod http;
mod tls;
mod url;

use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redoubt_attestation::appraise::{
    Appraisal, Appraised, Refusal, VerifiedAppraisalPolicy, appraise,
};
use redoubt_attestation::binding::{Binding, NonceInput, Purpose};
use redoubt_attestation::encode::b64u;
use redoubt_attestation::entropy::{EntropyError, SystemEntropy, draw};
use redoubt_attestation::genesis::{
    ClientPolicy, Environment, GenesisError, VerifiedConfig, VerifiedGenesis,
};
use rustls_pki_types::InvalidDnsNameError;

pub use evidence::AttestationReply;
pub use http::Reply;
pub use tls::{ClientIdentity, Session, handshake};

/// How long the whole exchange may take.
pub const TIMEOUT: Duration = Duration::from_secs(20);
/// How old a hardware document may be by our clock. Under an emulated genesis
/// the clock may be offset for tests, and the nonce alone proves freshness.
const MAX_AGE_MS: u64 = 5 * 60 * 1000;

/// Why there is no attested connection.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an https URL.
    #[error("{0:?} is no URL of the form https://HOST:PORT")]
    Url(String),
    /// The host's name.
    #[error("{0:?} is no host name: {1}")]
    Name(String, InvalidDnsNameError),
    /// Nobody answers.
    #[error("{address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("the server took longer than {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The client certificate or key.
    #[error("client certificate: {0}")]
    ClientIdentity(String),
    /// The server showed no usable certificate.
    #[error("the server's certificate: {0}")]
    ServerCertificate(String),
    /// The answer is no HTTP.
    #[error("the server's answer: {0}")]
    Http(String),
    /// The server refused.
    #[error("the server answered {status} to {path}: {detail}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What was asked for.
        path: String,
        /// `code` and `detail` of its problem, or the start of its body.
        detail: String,
    },
    /// The answer is no attestation reply.
    #[error("the server's evidence cannot be read: {0}")]
    Reply(String),
    /// No entropy for a nonce.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The evidence does not hold.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The evidence holds, but what was served beside it does not belong to it.
    #[error("beside its evidence the server shows another {0} than the evidence binds")]
    Beside(&'static str),
    /// The configuration served is not the officers'.
    #[error("the configuration served beside the evidence: {0}")]
    Config(#[from] GenesisError),
}

impl FetchError {
    /// The stable name of this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Name(..) => "url",
            Self::Connect { .. } => "connect",
            Self::Tls(_) => "tls",
            Self::Io(_) => "io",
            Self::TimedOut => "timed_out",
            Self::ClientIdentity(_) => "client_identity",
            Self::ServerCertificate(_) => "server_certificate",
            Self::Http(_) => "http",
            Self::Status { .. } => "status",
            Self::Reply(_) => "evidence_malformed",
            Self::Entropy(_) => "entropy",
            Self::Refused(refusal) => refusal.code(),
            Self::Beside(_) => "beside_evidence",
            Self::Config(_) => "config",
        }
    }
}

/// What a client pinned.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The policy file.
    pub policy: ClientPolicy,
    /// The manifest inside it.
    pub genesis: VerifiedGenesis,
    /// What the officers ask of evidence beyond the manifest, if they do.
    pub appraisal: Option<VerifiedAppraisalPolicy>,
}

impl Pinned {
    /// From the bytes of a policy file.
    pub fn from_policy(bytes: &[u8]) -> Result<Self, GenesisError> {
        let (policy, genesis) = ClientPolicy::verify(bytes)?;
        Ok(Self {
            policy,
            genesis,
            appraisal: None,
        })
    }
}

/// A connection to an enclave that proved what it is, and the proof.
pub struct AttestedConnection {
    http: http::Connection,
    /// The document, preimage and what was served beside them.
    pub reply: AttestationReply,
    /// What the evidence says.
    pub appraised: Appraised,
    /// What the enclave bound into it: keys, head, configuration.
    pub binding: Binding,
    /// The configuration, as the officers signed it.
    pub config: VerifiedConfig,
    /// Our nonce of this session.
    pub client_nonce: [u8; 32],
    /// The session's exporter.
    pub exporter: [u8; 32],
}

impl AttestedConnection {
    /// Connects, asks for evidence of a purpose, and appraises it.
    pub fn open(
        url: &str,
        pinned: &Pinned,
        purpose: Purpose,
        identity: Option<&ClientIdentity>,
    ) -> Result<Self, FetchError> {
        let deadline = Instant::now() + TIMEOUT;
        let url = url::HttpsUrl::parse(url)?;
        let session = handshake(connect(&url, deadline)?, url.server_name()?, identity)?;
        let mut http = http::Connection::new(session.stream, &url, deadline);
        let client_nonce = draw::<32>(&SystemEntropy)?;
        let path = format!(
            "/.well-known/attestation?nonce={}&purpose={}",
            b64u(&client_nonce),
            purpose.name()
        );
        let reply: AttestationReply = serde_json::from_slice(&http.get(&path)?.successful(&path)?)
            .map_err(|error| FetchError::Reply(error.to_string()))?;
        let nonce = NonceInput::Session {
            client_nonce: &client_nonce,
            exporter: &session.exporter,
        };
        let appraisal = appraisal(pinned, purpose, nonce, &session.peer_spki);
        let appraised = match &pinned.appraisal {
            Some(policy) => policy.appraise(&reply.document, &reply.preimage, &appraisal)?,
            None => appraise(&reply.document, &reply.preimage, &appraisal)?,
        };
        let binding = appraised
            .enclave()
            .cloned()
            .ok_or(FetchError::Beside("purpose"))?;
        let config = reply.check_against(&binding, &pinned.genesis)?;
        Ok(Self {
            http,
            reply,
            appraised,
            binding,
            config,
            client_nonce,
            exporter: session.exporter,
        })
    }

    /// Sends a GET on this connection.
    pub fn get(&mut self, path: &str) -> Result<Reply, FetchError> {
        self.http.get(path)
    }

    /// Sends a POST with a JSON body on this connection.
    pub fn post_json(&mut self, path: &str, body: &[u8]) -> Result<Reply, FetchError> {
        self.http.post_json(path, body)
    }
}

fn appraisal<'a>(
    pinned: &'a Pinned,
    purpose: Purpose,
    nonce: NonceInput<'a>,
    peer_spki: &'a [u8],
) -> Appraisal<'a> {
    let max_age_ms = match pinned.genesis.manifest.environment {
        Environment::Hardware => Some(MAX_AGE_MS),
        Environment::Emulated => None,
    };
    Appraisal {
        genesis: &pinned.genesis,
        minimum_counter: pinned.policy.minimum_counter,
        purpose,
        nonce,
        session_spki: Some(peer_spki),
        models: None,
        now_ms: now_ms(),
        max_age_ms,
        allow_debug: pinned.policy.allow_debug,
    }
}

/// Unix milliseconds of the system clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn connect(url: &url::HttpsUrl, deadline: Instant) -> Result<TcpStream, FetchError> {
    let address = url.address();
    let failed = |source| FetchError::Connect {
        address: address.clone(),
        source,
    };
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs().map_err(failed)? {
        let left = http::time_left(deadline)?;
        match TcpStream::connect_timeout(&candidate, left) {
            Ok(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

#[cfg(test)]
mod tests;
