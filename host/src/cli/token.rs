//! Officers' keys in PKCS#11 tokens, named by URIs (RFC 7512):
//! `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE`.
//!
//! Protects the key: it never leaves its token, the PIN is asked for without echo or
//! read from a file and stands on no command line, and a key is used only after it
//! signed something that its public half verifies. Tokens sign ES256 (`CKM_ECDSA`
//! over SHA-256), which is all that officers' files take today.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, anyhow, bail, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use redoubt_attestation::encode::sha256;
use redoubt_attestation::entropy::{SystemEntropy, draw};
use redoubt_attestation::jwk::EcP256Jwk;
use redoubt_attestation::sign::native::verify_es256;
use zeroize::Zeroizing;

use super::ask;

/// How a URI of a key begins.
pub(super) const SCHEME: &str = "pkcs11:";
/// DER of the object identifier of P-256 (RFC 5480), as `CKA_EC_PARAMS` holds it.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// DER before an uncompressed point of 65 bytes, as `CKA_EC_POINT` holds it.
const OCTETS: [u8; 2] = [0x04, 0x41];

/// A module is initialised once in a process.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// Where a key is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    token: String,
    object: String,
    module: PathBuf,
    pin: Option<PathBuf>,
}

/// A key in a token that is there and unlocked.
pub(super) struct TokenKey {
    session: Session,
    key: ObjectHandle,
    jwk: EcP256Jwk,
    name: String,
}

impl TokenKey {
    /// Finds and unlocks it, and lets it prove that it signs.
    pub(super) fn open(uri: &str) -> anyhow::Result<Self> {
        let place = Place::parse(uri)?;
        let name = place.name();
        let opened = Self::unlocked(&place, &name);
        opened.with_context(|| name)
    }

    fn unlocked(place: &Place, name: &str) -> anyhow::Result<Self> {
        let module = module(&place.module)?;
        let session = module.open_ro_session(slot(&module, &place.token)?)?;
        log_in(&session, place)?;
        let (key, jwk) = find(&session, &place.object)?;
        let opened = Self {
            session,
            key,
            jwk,
            name: name.to_owned(),
        };
        let challenge: [u8; 32] = draw(&SystemEntropy)?;
        let signature = opened.sign(&challenge)?;
        verify_es256(&opened.jwk, &challenge, &signature)
            .context("what it signs does not verify under its own public key")?;
        Ok(opened)
    }

    /// The public half.
    pub(super) const fn jwk(&self) -> &EcP256Jwk {
        &self.jwk
    }

    /// ES256: r || s, 64 bytes.
    pub(super) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let digest = sha256(&[message]);
        let signed = self.session.sign(&Mechanism::Ecdsa, self.key, &digest.0);
        let signed = signed.with_context(|| format!("{}: signing", self.name))?;
        ensure!(
            signed.len() == 64,
            "{}: a signature of {} bytes",
            self.name,
            signed.len()
        );
        Ok(signed)
    }
}

/// The same without what no record needs.
pub(super) fn described(uri: &str) -> anyhow::Result<String> {
    Ok(Place::parse(uri)?.name())
}

impl Place {
    fn parse(uri: &str) -> anyhow::Result<Self> {
        const FORM: &str = "write pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE";
        let rest = uri.strip_prefix(SCHEME).context(FORM)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut place = Self::default();
        let members = path.split(';').chain(query.split('&'));
        for member in members.filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').context(FORM)?;
            let value = decoded(value)?;
            match name {
                "token" => place.token = value,
                "object" => place.object = value,
                "module-path" => place.module = value.into(),
                "pin-source" => {
                    let file = value.strip_prefix("file:").unwrap_or(&value);
                    place.pin = Some(file.into());
                }
                "pin-value" => bail!(
                    "pin-value: a PIN in a command line or file of answers is read by others; use \
                     pin-source=FILE, or type it when asked"
                ),
                other => bail!("{other}: is not known here; {FORM}"),
            }
        }
        for (name, empty) in [
            ("token", place.token.is_empty()),
            ("object", place.object.is_empty()),
            ("module-path", place.module.as_os_str().is_empty()),
        ] {
            ensure!(!empty, "{name} is missing; {FORM}");
        }
        Ok(place)
    }

    fn name(&self) -> String {
        format!("token {:?}, key {:?}", self.token, self.object)
    }
}

/// Percent-decoding (RFC 3986).
fn decoded(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).context("% without two digits")?;
        bytes.push(u8::from_str_radix(digits, 16).context("% without two digits")?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).context("not UTF-8")
}

fn module(path: &Path) -> anyhow::Result<Pkcs11> {
    let mut known = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = known.get(path) {
        return Ok(module.clone());
    }
    let file = path.display();
    let module = Pkcs11::new(path).with_context(|| format!("{file}: is no PKCS#11 module"))?;
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    module
        .initialize(arguments)
        .with_context(|| format!("{file}: the module does not start"))?;
    known.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn slot(module: &Pkcs11, label: &str) -> anyhow::Result<Slot> {
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in module.get_slots_with_initialized_token()? {
        let info = module.get_token_info(slot)?;
        if info.label() == label {
            found.push(slot);
        }
        labels.push(format!("{:?}", info.label()));
    }
    match (found.as_slice(), labels.is_empty()) {
        ([slot], _) => Ok(*slot),
        ([], true) => bail!("no token is there: put it in and try again"),
        ([], false) => bail!("this token is not there; there are: {}", labels.join(", ")),
        _ => bail!("several tokens have this label: take the others out"),
    }
}

fn log_in(session: &Session, place: &Place) -> anyhow::Result<()> {
    let pin = match &place.pin {
        Some(file) => Zeroizing::new(super::read_text(file)?.trim_end().to_owned()),
        None => ask::secret(&format!("PIN of {}", place.name()))
            .context("its PIN: add pin-source=FILE, or run this on a terminal")?,
    };
    let pin = AuthPin::from(pin.as_str());
    match session.login(UserType::User, Some(&pin)) {
        // One token may hold the keys of two officers.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => bail!("wrong PIN; after some wrong ones a token locks itself"),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => {
            bail!("locked after too many wrong PINs; its security officer unlocks it")
        }
        Err(error) => Err(error).context("logging in"),
    }
}

/// The private key of a label and its public half.
fn find(session: &Session, label: &str) -> anyhow::Result<(ObjectHandle, EcP256Jwk)> {
    let label_is = Attribute::Label(label.as_bytes().to_vec());
    let class_is = Attribute::Class(ObjectClass::PRIVATE_KEY);
    let keys = session.find_objects(&[class_is, label_is])?;
    let [key] = keys.as_slice() else {
        bail!(
            "{} private keys have this label; it must be one",
            keys.len()
        );
    };
    let wanted = [AttributeType::Id, AttributeType::EcParams];
    let mut id = None;
    for attribute in session.get_attributes(*key, &wanted)? {
        match attribute {
            Attribute::EcParams(curve) => ensure!(
                curve == P256,
                "this key is on another curve than P-256; officers sign with ES256"
            ),
            Attribute::Id(found) => id = Some(found),
            _ => {}
        }
    }
    let id = Attribute::Id(id.context("this key has no CKA_ID")?);
    let class_is = Attribute::Class(ObjectClass::PUBLIC_KEY);
    let halves = session.find_objects(&[class_is, id])?;
    let half = halves
        .first()
        .context("its public half (same CKA_ID) is not on the token; import it")?;
    for attribute in session.get_attributes(*half, &[AttributeType::EcPoint])? {
        if let Attribute::EcPoint(point) = attribute {
            // Some modules leave the wrapping out.
            let point = point.strip_prefix(&OCTETS).unwrap_or(&point);
            let jwk = EcP256Jwk::from_sec1(point);
            return Ok((
                *key,
                jwk.ok_or_else(|| anyhow!("its public half is no P-256 point"))?,
            ));
        }
    }
    bail!("its public half shows no point")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_token_key_module_and_where_the_pin_is() {
        let uri = "pkcs11:token=My%20token;object=k?module-path=/lib/x.so&pin-source=file:/p";
        let place = Place::parse(uri).unwrap();
        assert_eq!((&*place.token, &*place.object), ("My token", "k"));
        assert_eq!(place.module, Path::new("/lib/x.so"));
        assert_eq!(place.pin.as_deref(), Some(Path::new("/p")));
        assert_eq!(described(uri).unwrap(), "token \"My token\", key \"k\"");
        for (wrong, why) in [
            ("pkcs11:token=a;object=b", "module-path is missing"),
            ("pkcs11:object=b?module-path=m", "token is missing"),
            (
                "pkcs11:token=a;object=b?module-path=m&pin-value=1",
                "pin-source",
            ),
            ("pkcs11:token=a;objekt=b?module-path=m", "objekt"),
            ("pkcs11:token=%4;object=b?module-path=m", "two digits"),
            ("token=a", "write pkcs11"),
        ] {
            let error = format!("{:#}", Place::parse(wrong).unwrap_err());
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
