//! Sessions: asked about by their own client, over when they must be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::encode::from_b64u;
use redoubt_attestation::jwk::{AkpMlDsa65Jwk, EcP256Jwk};
use redoubt_attestation::sign::{independent, native};
use redoubt_bank::Bank;
use redoubt_bank::api::Authenticated;
use redoubt_e2e::sessions::{
    HYBRID, INACTIVE, JWT, devices, form, introspect, is_active, put, revoke,
};
use redoubt_e2e::{Appliance, Customer, Needs, Options, Shared, alone, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();
const INTROSPECT: &str = "/api/v1/token/introspect";

fn with_sessions(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

async fn logged_in(bank: &Bank, appliance: &Appliance) -> Result<(Customer, Authenticated)> {
    let mut customer = Customer::registered(bank, &appliance.banks.a).await?;
    let session = customer.login(bank).await?;
    Ok((customer, session))
}

#[test]
fn a_token_is_good_for_the_client_that_logged_in_and_for_nobody_else() {
    let name = "a_token_is_good_for_the_client_that_logged_in_and_for_nobody_else";
    with_sessions(name, async |appliance| {
        let tenant = &appliance.banks.a;
        let bank = appliance.bank(tenant)?;
        let (customer, session) = logged_in(&bank, appliance).await?;
        let token = &session.session_token;
        let told = introspect(&bank, token).await?;
        ensure!(
            told["active"] == true && told["sub"] == customer.id.as_str(),
            "{told}"
        );
        ensure!(told["sid"] == session.session_id.as_str(), "{told}");
        ensure!(told["device_id"] == session.device_id.as_str(), "{told}");
        ensure!(told["acr"] == "urn:redoubt:acr:aal2", "{told}");
        ensure!(
            told["aud"] == tenant.id && told["iss"] == "https://localhost",
            "{told}"
        );
        ensure!(
            told["cnf"]["x5t#S256"].as_str().map(str::len) == Some(43),
            "{told}"
        );
        ensure!(from_b64u(token)?.len() == 32, "256 bits");

        // Another certificate of the same bank, another bank, and tokens of nobody.
        let colleague = tenant
            .authority
            .client("another gateway", &["b.bank-a.example"])?;
        let colleague = appliance.client(Some(colleague), false)?;
        let other = appliance.bank(&appliance.banks.b)?;
        ensure!(!is_active(&colleague, token).await?);
        ensure!(!is_active(&other, token).await?);
        for wrong in [
            &token[1..],
            "x",
            &token.to_lowercase(),
            &format!("{token}A"),
        ] {
            ensure!(wrong == token || !is_active(&bank, wrong).await?, "{wrong}");
        }
        // Another bank cannot end it; whoever of its own bank shows it can.
        ensure!(revoke(&other, token).await? == 0);
        ensure!(is_active(&bank, token).await?);
        ensure!(revoke(&colleague, token).await? == 1);
        ensure!(!is_active(&bank, token).await?);
        // No certificate, no answer.
        let nobody = appliance.client(None, false)?;
        let reply = form(&nobody, INTROSPECT, token, "*/*").await?;
        ensure!(reply.status == 401, "{reply:?}");
        Ok(())
    });
}

#[test]
fn asking_about_a_session_writes_nothing() {
    with_sessions("asking_about_a_session_writes_nothing", async |appliance| {
        let bank = appliance.bank(&appliance.banks.b)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.b).await?;
        let session = customer.login(&bank).await?;
        let size = async || -> Result<u64> {
            let page = bank.get("/api/v1/audit/export?limit=1").await?;
            let first = page.body.split(|byte| *byte == b'\n').next();
            let first: Value = serde_json::from_slice(first.context("no line")?)?;
            first["size"].as_u64().context("no size")
        };
        let before = size().await?;
        for form_wanted in ["application/json", JWT, HYBRID] {
            for _ in 0..10 {
                form(&bank, INTROSPECT, &session.session_token, form_wanted).await?;
            }
        }
        ensure!(revoke(&bank, "a token of nobody").await? == 0);
        ensure!(size().await? == before, "an entry was written");
        Ok(())
    });
}

#[test]
fn every_way_to_end_a_session_is_effective_at_once() {
    let name = "every_way_to_end_a_session_is_effective_at_once";
    with_sessions(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let (mut customer, first) = logged_in(&bank, appliance).await?;
        let second = customer.login(&bank).await?;
        ensure!(revoke(&bank, &first.session_token).await? == 1);
        ensure!(!is_active(&bank, &first.session_token).await?);
        ensure!(
            is_active(&bank, &second.session_token).await?,
            "the other one stays"
        );
        ensure!(revoke(&bank, &first.session_token).await? == 0, "again");

        let user = format!("/api/v1/subjects/{}", customer.id);
        let device = format!("{user}/devices/{}/sessions", second.device_id);
        let ended: Value = bank.delete(&device).await?.read()?;
        ensure!(ended["ended"] == 1, "{ended}");
        ensure!(!is_active(&bank, &second.session_token).await?);

        let third = customer.login(&bank).await?;
        let ended: Value = bank.delete(&format!("{user}/sessions")).await?.read()?;
        ensure!(ended["ended"] == 1, "{ended}");
        ensure!(!is_active(&bank, &third.session_token).await?);
        let receipt = redoubt_bank::receipts::id(&ended["receipt"])?;
        let kept = bank.receipt(&receipt).await?;
        ensure!(appliance.auditor().verify_value(&kept)?.accepted());
        let claim: Value = serde_json::from_str(kept["claims"].as_str().context("claims")?)?;
        ensure!(
            claim["type"] == "session_end" && claim["scope"] == "user",
            "{claim}"
        );
        ensure!(claim["sessions"][0] == third.session_id.as_str(), "{claim}");

        // Erasure leaves none either.
        let fourth = customer.login(&bank).await?;
        let _: Value = bank.delete(&user).await?.read()?;
        ensure!(!is_active(&bank, &fourth.session_token).await?);
        Ok(())
    });
}

#[test]
fn a_bank_ends_all_its_sessions_and_no_other_banks() {
    let name = "a_bank_ends_all_its_sessions_and_no_other_banks";
    alone(
        name,
        Needs::Programs,
        Options {
            without_worker: true,
            ..Options::default()
        },
        async |appliance| {
            let (a, b) = (
                appliance.bank(&appliance.banks.a)?,
                appliance.bank(&appliance.banks.b)?,
            );
            let (_, first) = logged_in(&a, appliance).await?;
            let (_, second) = logged_in(&a, appliance).await?;
            let mut customer = Customer::registered(&b, &appliance.banks.b).await?;
            let foreign = customer.login(&b).await?;
            let ended: Value = a.delete("/api/v1/sessions").await?.read()?;
            ensure!(ended["ended"] == 2, "{ended}");
            ensure!(!is_active(&a, &first.session_token).await?);
            ensure!(!is_active(&a, &second.session_token).await?);
            ensure!(is_active(&b, &foreign.session_token).await?);
            Ok(())
        },
    );
}

#[test]
fn a_restart_brings_no_ended_session_back_and_lengthens_none() {
    let name = "a_restart_brings_no_ended_session_back_and_lengthens_none";
    alone(
        name,
        Needs::Programs,
        Options {
            without_worker: true,
            ..Options::default()
        },
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let (_, kept) = logged_in(&bank, appliance).await?;
            let (_, ended) = logged_in(&bank, appliance).await?;
            let (thief, stolen) = logged_in(&bank, appliance).await?;
            ensure!(revoke(&bank, &ended.session_token).await? == 1);
            let reply = put(&bank, &thief.id, &stolen.device_id, "suspended").await?;
            ensure!(reply.status == 200, "{reply:?}");
            appliance.kill_all()?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(is_active(&bank, &kept.session_token).await?);
            ensure!(!is_active(&bank, &ended.session_token).await?);
            ensure!(!is_active(&bank, &stolen.session_token).await?);
            let listed = devices(&bank, &thief.id).await?;
            ensure!(listed["devices"][0]["state"] == "suspended", "{listed}");
            // Asked about a moment ago, but the restart forgot it: the login counts.
            appliance.kill_all()?;
            appliance.options.time_offset_ms = 5 * 60_000;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(!is_active(&bank, &kept.session_token).await?);
            Ok(())
        },
    );
}

#[test]
fn a_session_ends_when_it_idles_and_when_it_is_old() {
    let name = "a_session_ends_when_it_idles_and_when_it_is_old";
    alone(
        name,
        Needs::Programs,
        Options {
            without_worker: true,
            ..Options::default()
        },
        async |appliance| {
            appliance.set_policy(2, |policy| {
                policy["session_idle_seconds"] = json!(10);
                policy["session_absolute_minutes"] = json!(1);
            })?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let (mut customer, used) = logged_in(&bank, appliance).await?;
            let idle = customer.login(&bank).await?;
            let opened = Instant::now();
            let mut checked_idle = false;
            while is_active(&bank, &used.session_token).await? {
                tokio::time::sleep(Duration::from_secs(3)).await;
                ensure!(
                    opened.elapsed() < Duration::from_secs(75),
                    "it does not end"
                );
                if !checked_idle && opened.elapsed() > Duration::from_secs(10) {
                    ensure!(!is_active(&bank, &idle.session_token).await?, "it idled");
                    checked_idle = true;
                }
            }
            let lived = opened.elapsed();
            ensure!(checked_idle && lived > Duration::from_secs(54), "{lived:?}");
            Ok(())
        },
    );
}

/// Protected header, key, what is signed, signature.
type Signed = (Value, Value, String, Vec<u8>);

/// The two signatures of a session for inner services, by the keys that are served.
fn signatures(jws: &Value, keys: &Value) -> Result<Vec<Signed>> {
    let payload = jws["payload"].as_str().context("payload")?;
    let signatures = jws["signatures"].as_array().context("signatures")?;
    let found = signatures.iter().map(|signature| {
        let protected = signature["protected"].as_str().context("protected")?;
        let header: Value = serde_json::from_slice(&from_b64u(protected)?)?;
        let all = keys["keys"].as_array().context("keys")?;
        let key = all.iter().find(|key| key["kid"] == header["kid"]);
        let mut key = key.context("no key of this kid")?.clone();
        ensure!(key["alg"] == header["alg"] && key["use"] == "sig", "{key}");
        let members = key.as_object_mut().context("key")?;
        members.remove("kid");
        members.remove("use");
        if header["alg"] == "ES256" {
            members.remove("alg");
        }
        let bytes = from_b64u(signature["signature"].as_str().context("signature")?)?;
        Ok((header, key, format!("{protected}.{payload}"), bytes))
    });
    found.collect()
}

#[test]
fn the_signed_forms_verify_with_two_other_implementations() {
    let name = "the_signed_forms_verify_with_two_other_implementations";
    with_sessions(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let (customer, session) = logged_in(&bank, appliance).await?;
        let token = &session.session_token;
        let keys: Value = bank.get("/api/v1/jwks").await?.read()?;
        let foreign: Value = appliance
            .bank(&appliance.banks.b)?
            .get("/api/v1/jwks")
            .await?
            .read()?;
        ensure!(keys["keys"][0]["kid"] != foreign["keys"][0]["kid"]);

        let reply = form(&bank, INTROSPECT, token, HYBRID).await?;
        ensure!(reply.headers["content-type"] == HYBRID, "{reply:?}");
        let jws: Value = serde_json::from_slice(&reply.body)?;
        let signed = signatures(&jws, &keys)?;
        ensure!(signed.len() == 2, "{jws}");
        let payload = from_b64u(jws["payload"].as_str().context("payload")?)?;
        let claims: Value = serde_json::from_slice(&payload)?;
        ensure!(
            claims["sub"] == customer.id.as_str() && claims["sid"] == session.session_id.as_str()
        );
        let lives = claims["exp"].as_u64().zip(claims["iat"].as_u64());
        let lives = lives.map(|(exp, iat)| exp - iat);
        ensure!(
            lives.is_some_and(|lives| (1..=60).contains(&lives)),
            "{claims}"
        );
        for member in ["iss", "aud", "jti", "acr", "policy"] {
            ensure!(claims[member].is_string(), "{member}: {claims}");
        }
        ensure!(
            claims["cnf"]["x5t#S256"].is_string() && claims["amr"].is_array(),
            "{claims}"
        );
        for (header, key, message, signature) in &signed {
            ensure!(header["typ"] == "redoubt-session+jws", "{header}");
            let message = message.as_bytes();
            let mut bent = signature.clone();
            bent[7] ^= 1;
            if header["alg"] == "ES256" {
                let key: EcP256Jwk = serde_json::from_value(key.clone())?;
                ensure!(header["kid"] == key.kid().as_str());
                independent::verify_es256(&key, message, signature)?;
                native::verify_es256(&key, message, signature)?;
                ensure!(independent::verify_es256(&key, message, &bent).is_err());
            } else {
                let key: AkpMlDsa65Jwk = serde_json::from_value(key.clone())?;
                ensure!(header["kid"] == key.kid().as_str());
                independent::verify_ml_dsa_65(&key, message, signature)?;
                native::verify_ml_dsa_65(&key, message, signature)?;
                ensure!(independent::verify_ml_dsa_65(&key, message, &bent).is_err());
            }
        }
        in_python(&jws, &keys)?;

        // RFC 9701: compact, one signature; what is not active is signed as well.
        for (token, active) in [(token.as_str(), true), ("nobody's", false)] {
            let reply = form(&bank, INTROSPECT, token, JWT).await?;
            ensure!(reply.headers["content-type"] == JWT, "{reply:?}");
            let text = std::str::from_utf8(&reply.body)?;
            let [header, payload, signature] = text.split('.').collect::<Vec<_>>()[..] else {
                anyhow::bail!("no compact JWS: {text}")
            };
            let key = json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]});
            let (header, key, message, signature) = signatures(&key, &keys)?.remove(0);
            ensure!(header["typ"] == "token-introspection+jwt" && header["alg"] == "ES256");
            let key: EcP256Jwk = serde_json::from_value(key)?;
            independent::verify_es256(&key, message.as_bytes(), &signature)?;
            let claims: Value = serde_json::from_slice(&from_b64u(payload)?)?;
            let told = &claims["token_introspection"];
            ensure!(
                told["active"] == active && claims["exp"].is_null(),
                "{claims}"
            );
            ensure!(active || *told == json!({"active": false}), "{claims}");
        }
        // A token that is no good gets no signature for inner services.
        let reply = form(&bank, INTROSPECT, "nobody's", HYBRID).await?;
        ensure!(reply.headers["content-type"] == "application/json" && reply.body[..] == *INACTIVE);
        Ok(())
    });
}

/// The same with the library of `attestation/verify-py`, if there is a Python for it.
fn in_python(jws: &Value, keys: &Value) -> Result<()> {
    const SCRIPT: &str = "
import base64, json, sys
from redoubt_verify import jwk, signatures
jws, keys = json.load(sys.stdin)
undo = lambda text: base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
named = {key['kid']: key for key in keys['keys']}
algs = []
for signature in jws['signatures']:
    header = json.loads(undo(signature['protected']))
    key = {name: value for name, value in named[header['kid']].items() if name not in ('kid', 'use')}
    message = (signature['protected'] + '.' + jws['payload']).encode()
    if header['alg'] == 'ES256':
        key.pop('alg')
        public, kid = jwk.p256(key)
        check = signatures.verify_es256
    else:
        public, kid = jwk.ml_dsa_65(key)
        check = signatures.verify_ml_dsa_65
    assert kid == header['kid'], header
    value = undo(signature['signature'])
    assert check(public, message, value) is True, header
    assert check(public, message + b'.', value) is False, header
    algs.append(header['alg'])
print(' '.join(algs))
";
    let Ok(python) = std::env::var("REDOUBT_PYTHON") else {
        println!("skipped: the check in Python: REDOUBT_PYTHON is not set");
        return Ok(());
    };
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/../../attestation/verify-py");
    let mut child = std::process::Command::new(python)
        .args(["-c", SCRIPT])
        .env("PYTHONPATH", library)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let input = child.stdin.take().context("stdin")?;
    serde_json::to_writer(input, &json!([jws, keys]))?;
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && told.trim() == "ES256 ML-DSA-65",
        "{told}"
    );
    Ok(())
}
