//! Registration, enrolment, verdicts, lockout, approval, audit.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::state::{ARTEFACT_FILE, MARKERS_FILE};
use super::{Report, Setting, State};
use crate::api::{BankError, Payee, Transaction, with_user};
use crate::authenticator::SoftwareAuthenticator;
use crate::blindness::Markers;
use crate::client::Bank;
use crate::media::Media;
use crate::origins::Origins;
use crate::race;

pub(super) async fn tell(setting: &Setting, media: &Media, report: &mut Report) -> Result<()> {
    let bank = setting.bank()?;
    let origins = report
        .step(
            "the bank connects under its own certificate",
            Origins::discover(&bank),
        )
        .await?;
    let mut teller = Teller {
        bank,
        origins,
        key: SoftwareAuthenticator::default(),
        state: State {
            customer: crate::random_name("customer"),
            locked: crate::random_name("customer"),
            raced: crate::random_name("customer"),
            ..State::default()
        },
    };
    let payment = payment();
    write_markers(setting, media, &teller.state, &payment)?;
    teller.passkey(setting, report).await?;
    teller.enrolment(media, report).await?;
    teller.verdicts(media, report).await?;
    teller.lockout(media, report).await?;
    teller.approval(setting, &payment, report).await?;
    teller.state.passkeys = teller.key.export()?;
    teller.state.write(&setting.folder())
}

fn payment() -> Transaction {
    Transaction {
        amount: "250.00".into(),
        currency: "EUR".into(),
        payee: Payee {
            name: "Northwind Tooling GmbH".into(),
            account: "DE89370400440532013000".into(),
        },
        reference: crate::random_name("INVOICE"),
    }
}

/// Everything of this story that must not be seen outside; samples go to files.
fn write_markers(
    setting: &Setting,
    media: &Media,
    state: &State,
    payment: &Transaction,
) -> Result<()> {
    let samples = setting.folder().join("samples");
    std::fs::create_dir_all(&samples)?;
    let mut markers = Markers::default();
    for (name, bytes) in [
        ("person", &media.person),
        ("person-again", &media.person_again),
        ("person-third", &media.person_third),
        ("other", &media.other),
        ("two-faces", &media.two_faces),
        ("dark", &media.dark),
        ("tiny", &media.tiny),
    ] {
        let path = samples.join(format!("{name}.jpg"));
        std::fs::write(&path, bytes)?;
        markers.image(&format!("image {name}"), path.canonicalize()?);
    }
    markers.text("customer id", &state.customer);
    markers.text("locked customer id", &state.locked);
    markers.text("raced customer id", &state.raced);
    markers.text("payment reference", &payment.reference);
    markers.text("payee account", &payment.payee.account);
    markers.text("payee name", &payment.payee.name);
    let path = setting.folder().join(MARKERS_FILE);
    std::fs::write(&path, serde_json::to_vec_pretty(&markers)?)?;
    Ok(())
}

struct Teller {
    bank: Bank,
    origins: Origins,
    key: SoftwareAuthenticator,
    state: State,
}

impl Teller {
    async fn passkey(&mut self, setting: &Setting, report: &mut Report) -> Result<()> {
        let user = self.state.customer.clone();
        let receipt = report
            .step("a passkey is registered", self.register(&user))
            .await?;
        self.state.receipts.push(receipt);
        let (receipt, used) = report
            .step("the customer logs in with it", self.login(&user))
            .await?;
        self.state.receipts.push(receipt);
        self.state.used_assertion = used;
        report
            .step("the same assertion a second time is refused", async {
                let used = &self.state.used_assertion;
                refused(
                    self.bank.login_verify(&user, used).await,
                    "authentication_failed",
                )
            })
            .await?;
        let second = setting.second_bank()?;
        report
            .step("another tenant cannot use the customer's passkey", async {
                stranger(&second, &user, &self.state.used_assertion).await
            })
            .await
    }

    async fn register(&mut self, user: &str) -> Result<Value> {
        let options = self.bank.register_options(user).await?;
        let created = self.key.create(&self.origins.login, &options).await?;
        let registered = self.bank.register_verify(user, &created).await?;
        ensure!(registered.verified && registered.user_id == user);
        Ok(registered.receipt)
    }

    async fn login(&mut self, user: &str) -> Result<(Value, Value)> {
        let options = self.bank.login_options(user).await?;
        let signed = self.key.get(&self.origins.login, &options).await?;
        let done = self.bank.login_verify(user, &signed).await?;
        ensure!(done.verified && !done.session_token.is_empty());
        Ok((done.receipt, signed))
    }

    async fn enrolment(&mut self, media: &Media, report: &mut Report) -> Result<()> {
        let (bank, user) = (self.bank.clone(), self.state.customer.clone());
        report
            .step("enrolment without consent is refused", async {
                refused(bank.enroll_initiate(&user, false).await, "consent_required")
            })
            .await?;
        let enrolled = report
            .step("the customer's face is enrolled", async {
                Ok(bank.enroll(&user, &media.person).await?)
            })
            .await?;
        self.state.receipts.push(enrolled.receipt);
        for user in [&self.state.locked, &self.state.raced] {
            let enrolled = bank.enroll(user, &media.person).await?;
            self.state.receipts.push(enrolled.receipt);
        }
        Ok(())
    }

    async fn verdicts(&mut self, media: &Media, report: &mut Report) -> Result<()> {
        let (bank, user) = (self.bank.clone(), self.state.customer.clone());
        for (name, sample, expected) in [
            (
                "another photograph of the same person",
                &media.person_again,
                "verified",
            ),
            ("another person", &media.other, "rejected"),
            (
                "a third photograph of the same person",
                &media.person_third,
                "verified",
            ),
        ] {
            let verification = report
                .step(&format!("{name}: {expected}"), async {
                    let verification = bank.verify(&user, sample).await?;
                    ensure!(verification.result == expected, "{verification:?}");
                    Ok(verification)
                })
                .await?;
            report.verdict(name, verification.result);
            self.state.receipts.push(verification.receipt);
        }
        for (name, sample, code) in [
            ("no face", &media.no_face, "no_face"),
            ("two faces", &media.two_faces, "multiple_faces"),
            ("too dark", &media.dark, "too_dark"),
            ("too small", &media.tiny, "face_too_small"),
            ("not an image", &media.not_an_image, "not_an_image"),
        ] {
            report
                .step(&format!("{name}: {code}"), async {
                    refused(bank.verify(&user, sample).await, code)
                })
                .await?;
            report.verdict(name, code);
        }
        report
            .step("a body of 200 MB: 413", async {
                let reply = crate::huge::post_zeros(&bank, "/api/v1/verify", 200_000_000).await?;
                ensure!(reply.status == 413, "answered {}", reply.status);
                Ok(())
            })
            .await?;
        report.verdict("a body of 200 MB", 413);
        Ok(())
    }

    async fn lockout(&mut self, media: &Media, report: &mut Report) -> Result<()> {
        let (bank, user) = (self.bank.clone(), self.state.locked.clone());
        let (receipts, until) = report
            .step("three failures lock the account", lock(&bank, &user, media))
            .await?;
        self.state.receipts.extend(receipts);
        self.state.locked_until = until;
        let raced = self.state.raced.clone();
        let race = report
            .step("200 parallel wrong samples get three comparisons", async {
                let race = race::verify(&bank, &raced, &media.other, 200).await?;
                ensure!(race.comparisons() == 3, "{:?}", race.tally);
                Ok(race)
            })
            .await?;
        report.verdict("200 parallel wrong samples", json!(race.tally));
        self.state.receipts.extend(race.receipts);
        Ok(())
    }

    async fn approval(
        &mut self,
        setting: &Setting,
        payment: &Transaction,
        report: &mut Report,
    ) -> Result<()> {
        let artefact = report
            .step("the customer approves a payment", self.approve(payment))
            .await?;
        let path = setting.folder().join(ARTEFACT_FILE);
        std::fs::write(&path, artefact.to_string())?;
        self.state.receipts.push(artefact["receipt"].clone());
        report
            .step(
                "the auditor accepts artefact, receipt and inclusion, without sockets",
                async { audit(setting, &artefact, true) },
            )
            .await?;
        report
            .step("the auditor refuses it with one digit changed", async {
                audit(setting, &other_amount(&artefact)?, false)
            })
            .await?;
        let receipts = self.state.receipts.clone();
        let checked = report
            .step("every receipt so far verifies with its evidence", async {
                all_good(&self.bank, setting, &receipts).await
            })
            .await?;
        println!("         {checked} receipts");
        Ok(())
    }

    async fn approve(&mut self, payment: &Transaction) -> Result<Value> {
        let user = self.state.customer.clone();
        let pending = self.bank.approve(&user, payment).await?;
        ensure!(pending.status == "pending" && pending.transaction == *payment);
        let signed = self
            .key
            .get(&self.origins.approval, &pending.options)
            .await?;
        let id = &pending.approval_id;
        let approved = self.bank.approve_verify(id, &user, &signed).await?;
        ensure!(approved.status == "approved");
        let again = self.bank.approve_verify(id, &user, &signed).await;
        ensure!(again.is_err(), "the same approval was given twice");
        Ok(approved.artefact)
    }
}

/// Three wrong samples, then the right one: locked.
async fn lock(bank: &Bank, user: &str, media: &Media) -> Result<(Vec<Value>, String)> {
    let mut receipts = Vec::new();
    for attempt in 1..=3 {
        let verification = bank.verify(user, &media.other).await?;
        ensure!(verification.result == "rejected");
        let locks = verification.action_taken == "account_locked";
        ensure!(
            locks == (attempt == 3),
            "attempt {attempt}: {verification:?}"
        );
        receipts.push(verification.receipt);
    }
    match bank.verify(user, &media.person).await {
        Err(BankError::Refused {
            status: 423,
            problem,
            retry_after,
        }) => {
            ensure!(retry_after.is_some(), "no Retry-After");
            let until = problem.more.get("locked_until").and_then(Value::as_str);
            Ok((receipts, until.context("no locked_until")?.to_owned()))
        }
        other => bail!("expected 423 account_locked, got {other:?}"),
    }
}

/// The call failed with this code.
pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, BankError>, code: &str) -> Result<()> {
    match outcome {
        Err(error) if error.code() == Some(code) => Ok(()),
        Err(error) => bail!("expected {code}, got: {error}"),
        Ok(answer) => bail!("expected {code}, but it was accepted: {answer:?}"),
    }
}

async fn stranger(second: &Bank, user: &str, assertion: &Value) -> Result<()> {
    let path = "/api/v1/passkeys/authenticate/verify";
    let reply = second.post(path, &with_user(user, assertion)).await?;
    ensure!(reply.status == 401, "answered {}", reply.status);
    Ok(())
}

/// The auditor says what is expected of it.
pub(super) fn audit(setting: &Setting, document: &Value, expected: bool) -> Result<()> {
    let audit = setting.auditor().verify_value(document)?;
    let as_expected = if expected {
        audit.accepted()
    } else {
        audit.refused()
    };
    ensure!(as_expected, "auditor: {audit:?}");
    Ok(())
}

/// Every receipt is found again and verifies.
pub(super) async fn all_good(bank: &Bank, setting: &Setting, receipts: &[Value]) -> Result<usize> {
    let checked = crate::receipts::check_all(bank, &setting.auditor(), receipts).await?;
    ensure!(
        checked.good == receipts.len(),
        "{} of {} verify: {:?}",
        checked.good,
        receipts.len(),
        checked.bad
    );
    Ok(checked.good)
}

/// The artefact with one digit of the amount changed.
fn other_amount(artefact: &Value) -> Result<Value> {
    let payload = artefact["payload"].as_str().context("no payload")?;
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload)?)?;
    ensure!(claims.contains("250.00"), "the artefact names no amount");
    let mut other = artefact.clone();
    other["payload"] = json!(URL_SAFE_NO_PAD.encode(claims.replacen("250.00", "950.00", 1)));
    Ok(other)
}
