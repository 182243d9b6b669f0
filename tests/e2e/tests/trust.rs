//! From an address to pinned trust, and what must not become trust.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_attestation::document::Document;
use redoubt_bank::tls::ClientPem;
use redoubt_e2e::process::{run, run_ok};
use redoubt_e2e::{Appliance, Needs, Options, Shared, pki, probe, shared};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

static APPLIANCE: Shared = Shared::new();

fn with_trust(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

fn curl(appliance: &Appliance, path: &str) -> Command {
    let identity = appliance.identity(&appliance.banks.a);
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20"]);
    command.args(["--write-out", "\n%{http_code}"]);
    command
        .arg("--cacert")
        .arg(appliance.trust_dir().join("ca.pem"));
    command.arg("--cert").arg(identity.cert);
    command.arg("--key").arg(identity.key);
    command.arg(format!("{}{path}", appliance.url()));
    command
}

#[test]
fn after_trust_plain_curl_works() {
    with_trust("after_trust_plain_curl_works", async |appliance| {
        for name in ["ca.pem", "genesis.json", "policy.json", "evidence.json"] {
            let path = appliance.trust_dir().join(name);
            ensure!(path.exists(), "trust wrote no {name}");
        }
        let mut command = curl(appliance, "/api/v1/passkeys/register/options");
        command.args(["--header", "content-type: application/json"]);
        command.args(["--data", "{\"user_id\":\"curl-customer\"}"]);
        let answer = String::from_utf8(run_ok(&mut command)?.stdout)?;
        let (body, status) = answer.rsplit_once('\n').context("no status")?;
        ensure!(status == "200", "{answer}");
        let options: Value = serde_json::from_str(body)?;
        ensure!(options["rp"]["id"] == appliance.banks.a.rp_id);
        ensure!(options["challenge"].is_string());
        Ok(())
    });
}

#[test]
fn curl_without_the_pinned_ca_refuses_the_appliance() {
    with_trust(
        "curl_without_the_pinned_ca_refuses_the_appliance",
        async |appliance| {
            let mut command = Command::new("curl");
            command.args(["--silent", "--max-time", "20"]);
            command.arg(format!("{}/healthz", appliance.url()));
            ensure!(!run(&mut command)?.status.success());
            Ok(())
        },
    );
}

#[test]
fn a_policy_that_pins_another_genesis_gets_no_trust() {
    with_trust(
        "a_policy_that_pins_another_genesis_gets_no_trust",
        async |appliance| {
            let other = Appliance::prepare(appliance.environment(), Options::default())?;
            let out = appliance.dir().join("trust-of-another");
            let mut command = appliance.trust_command(&appliance.url(), &other.policy(), &out);
            let output = run(&mut command)?;
            ensure!(output.status.code() == Some(1), "{output:?}");
            ensure!(
                !out.join("ca.pem").exists(),
                "a CA was written all the same"
            );
            Ok(())
        },
    );
}

#[test]
fn a_minimum_counter_above_the_genesis_gets_no_trust() {
    with_trust(
        "a_minimum_counter_above_the_genesis_gets_no_trust",
        async |appliance| {
            let mut policy: Value = serde_json::from_slice(&std::fs::read(appliance.policy())?)?;
            policy["minimum_counter"] = json!(1_000_000);
            let path = appliance.dir().join("later-policy.json");
            std::fs::write(&path, policy.to_string())?;
            let out = appliance.dir().join("trust-of-later");
            let output = run(&mut appliance.trust_command(&appliance.url(), &path, &out))?;
            ensure!(!output.status.success(), "{output:?}");
            ensure!(!out.join("ca.pem").exists());
            Ok(())
        },
    );
}

async fn attestation(appliance: &Appliance, nonce: &[u8]) -> Result<(Document, [u8; 32])> {
    let config = probe::config(&appliance.ca()?, None)?;
    let mut tls = probe::handshake(appliance.port(), config).await?;
    let label = b"EXPORTER-redoubt-attestation-v1";
    let exporter = tls
        .get_ref()
        .1
        .export_keying_material([0u8; 32], label, None)?;
    let path = format!("/.well-known/attestation?nonce={}", hex::encode(nonce));
    let (status, body) = probe::get(&mut tls, &path).await?;
    ensure!(status == 200, "{status} {body}");
    let reply: Value = serde_json::from_str(&body)?;
    let document = reply["document"].as_str().context("document")?;
    let document = Document::parse(&URL_SAFE_NO_PAD.decode(document)?)?;
    Ok((document, exporter))
}

/// SHA-256("redoubt/nonce/v1" || mode 1 || framed client nonce || exporter)
fn bound_nonce(nonce: &[u8], exporter: &[u8; 32]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(b"redoubt/nonce/v1\x01");
    hash.update((nonce.len() as u32).to_be_bytes());
    hash.update(nonce);
    hash.update(exporter);
    hash.finalize().to_vec()
}

#[test]
fn a_document_echoes_the_nonce_bound_to_its_own_session() {
    with_trust(
        "a_document_echoes_the_nonce_bound_to_its_own_session",
        async |appliance| {
            let nonce = b"sixteen byte non";
            let (first, own) = attestation(appliance, nonce).await?;
            let (_, other) = attestation(appliance, nonce).await?;
            ensure!(own != other);
            ensure!(first.nonce.as_deref() == Some(bound_nonce(nonce, &own).as_slice()));
            ensure!(first.nonce.as_deref() != Some(bound_nonce(nonce, &other).as_slice()));
            ensure!(
                first.nonce.as_deref() != Some(nonce.as_slice()),
                "the raw nonce is echoed"
            );
            Ok(())
        },
    );
}

/// A man in the middle who ends TLS himself and fetches genuine documents.
async fn relay(appliance: &Appliance) -> Result<u16> {
    let own = pki::self_signed_server("localhost")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_slice_iter(&own.cert).collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_slice(&own.key)?,
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (target, far) = (appliance.port(), probe::config(&appliance.ca()?, None)?);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, far) = (acceptor.clone(), far.clone());
            tokio::spawn(async move {
                let mut near = acceptor.accept(near).await?;
                let mut far = probe::handshake(target, far).await?;
                copy_bidirectional(&mut near, &mut far).await?;
                anyhow::Ok(())
            });
        }
    });
    Ok(port)
}

#[test]
fn a_genuine_document_relayed_into_another_session_is_refused() {
    let name = "a_genuine_document_relayed_into_another_session_is_refused";
    with_trust(name, async |appliance| {
        let port = relay(appliance).await?;
        let out = appliance.dir().join("trust-through-a-relay");
        let url = format!("https://localhost:{port}");
        let mut command = appliance.trust_command(&url, &appliance.policy(), &out);
        let output = tokio::task::spawn_blocking(move || run(&mut command)).await??;
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(!out.join("ca.pem").exists());
        Ok(())
    });
}

#[test]
fn only_public_routes_answer_without_a_certificate() {
    with_trust(
        "only_public_routes_answer_without_a_certificate",
        async |appliance| {
            let nobody = appliance.client(None, false)?;
            for path in [
                "/healthz",
                "/openapi.json",
                "/.well-known/attestation?nonce=0011223344556677",
            ] {
                let reply = nobody.get(path).await?;
                ensure!(reply.status == 200, "{path}: {}", reply.status);
            }
            for path in [
                "/api/v1/verify",
                "/api/v1/approvals",
                "/api/v1/enroll/initiate",
            ] {
                let reply = nobody.post(path, &json!({})).await?;
                ensure!(reply.status == 401, "{path}: {}", reply.status);
                ensure!(reply.refusal().code() == Some("client_certificate_required"));
            }
            Ok(())
        },
    );
}

#[test]
fn auditors_officers_and_operators_cannot_act_as_a_bank() {
    with_trust(
        "auditors_officers_and_operators_cannot_act_as_a_bank",
        async |appliance| {
            let banks = &appliance.banks;
            let roles: [&ClientPem; 3] = [&banks.auditor.1, &banks.officer.1, &banks.operator.1];
            for pem in roles {
                let client = appliance.client(Some(pem.clone()), false)?;
                let path = "/api/v1/passkeys/register/options";
                let reply = client.post(path, &json!({"user_id": "somebody"})).await?;
                ensure!(reply.status == 403, "{}", reply.status);
            }
            Ok(())
        },
    );
}
