//! A GPU's reference values as NVIDIA publishes them: a SWID tag (ISO/IEC 19770-2:2015,
//! as TCG's Reference Integrity Manifest uses it) whose payload lists one `Resource` for
//! each measurement.
//!
//! Protects against a file that two readers understand differently: no document type,
//! so no entities; every member of a measurement in its one form, none unknown, no index
//! twice. The XML signature inside is not looked at: a file counts by its SHA-256, which
//! officers signed.

use std::collections::BTreeMap;

use redoubt_attestation::encode::exactly;
use roxmltree::{Document, Node, ParsingOptions};

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
/// The namespace of `Hash0`, `Hash1`, …
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
/// Most bytes of a file; NVIDIA's have about 20 KiB.
pub const RIM_MAX: usize = 256 * 1024;
/// Most elements and texts of a file.
const NODES_MAX: u32 = 4096;
/// SPDM numbers measurements from 1 to 254, NVIDIA from 0.
const INDEX_MAX: u8 = 253;
/// Most values of one measurement.
const ALTERNATIVES_MAX: u8 = 64;

/// Why a file holds no reference values. The file is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RimError {
    /// More than any has.
    #[error("it has more than {RIM_MAX} bytes")]
    TooLarge,
    /// Not XML, or with a document type.
    #[error("it is not the XML it should be: {0}")]
    Xml(String),
    /// Not a SWID tag of NVIDIA's form.
    #[error("it is no SWID tag of reference values: {0}")]
    Form(String),
    /// One index twice.
    #[error("it lists measurement {0} twice")]
    Duplicate(u8),
    /// Nothing to compare with.
    #[error("it lists no active measurement")]
    Empty,
}

impl RimError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "rim_too_large",
            Self::Xml(_) => "rim_xml",
            Self::Form(_) => "rim_form",
            Self::Duplicate(_) => "rim_duplicate_index",
            Self::Empty => "rim_empty",
        }
    }
}

/// Reference values of one part, driver or VBIOS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rim {
    /// The version they are for, as NVIDIA writes it.
    pub version: String,
    /// By SPDM's index, which is NVIDIA's plus one: the SHA-384 values of which a
    /// device must report one. Inactive measurements are not among them.
    pub active: BTreeMap<u8, Vec<[u8; 48]>>,
}

impl Rim {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, RimError> {
        if bytes.len() > RIM_MAX {
            return Err(RimError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| RimError::Xml(error.to_string()))?;
        let options = ParsingOptions {
            allow_dtd: false,
            nodes_limit: NODES_MAX,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| RimError::Xml(error.to_string()))?;
        let root = document.root_element();
        if !root.has_tag_name((SWID, "SoftwareIdentity")) {
            return Err(form("its root is no SoftwareIdentity"));
        }
        let version = attribute(only(root, "Meta")?, "colloquialVersion")?;
        if version.is_empty() || !version.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(form("colloquialVersion is no version"));
        }
        Ok(Self {
            version: version.to_owned(),
            active: measurements(only(root, "Payload")?)?,
        })
    }
}

fn form(why: impl Into<String>) -> RimError {
    RimError::Form(why.into())
}

/// The one child of this name.
fn only<'a, 'i>(parent: Node<'a, 'i>, name: &str) -> Result<Node<'a, 'i>, RimError> {
    let mut found = parent
        .children()
        .filter(|child| child.has_tag_name((SWID, name)));
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        _ => Err(form(format!("not exactly one {name}"))),
    }
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, RimError> {
    node.attribute(name)
        .ok_or_else(|| form(format!("{} without {name}", node.tag_name().name())))
}

/// A number in decimal, in its one spelling.
fn number(node: Node<'_, '_>, name: &str, most: u8) -> Result<u8, RimError> {
    let text = attribute(node, name)?;
    let parsed = text.parse::<u8>().ok();
    parsed
        .filter(|number| *number <= most && number.to_string() == text)
        .ok_or_else(|| form(format!("{name} is {text:?}, no number up to {most}")))
}

fn measurements(payload: Node<'_, '_>) -> Result<BTreeMap<u8, Vec<[u8; 48]>>, RimError> {
    let mut seen = BTreeMap::new();
    for child in payload.children() {
        if child.is_text() && child.text().unwrap_or_default().trim().is_empty() {
            continue;
        }
        if !child.has_tag_name((SWID, "Resource")) {
            return Err(form("Payload holds something else than Resource"));
        }
        let (index, active, values) = measurement(child)?;
        if seen.insert(index, (active, values)).is_some() {
            return Err(RimError::Duplicate(index));
        }
    }
    let active = seen.into_iter().filter(|(_, (active, _))| *active);
    let active: BTreeMap<_, _> = active.map(|(index, (_, values))| (index, values)).collect();
    match active.is_empty() {
        true => Err(RimError::Empty),
        false => Ok(active),
    }
}

/// SPDM's index, whether it counts, and its values.
fn measurement(node: Node<'_, '_>) -> Result<(u8, bool, Vec<[u8; 48]>), RimError> {
    if attribute(node, "type")? != "Measurement" || node.has_children() {
        return Err(form("a Resource that is no Measurement"));
    }
    let index = number(node, "index", INDEX_MAX)?.saturating_add(1);
    let active = match attribute(node, "active")? {
        "True" => true,
        "False" => false,
        other => return Err(form(format!("active is {other:?}, neither True nor False"))),
    };
    let alternatives = number(node, "alternatives", ALTERNATIVES_MAX)?;
    if alternatives == 0 || attribute(node, "size")? != "48" {
        return Err(form(format!("measurement {index} is no SHA-384")));
    }
    attribute(node, "name")?;
    let values: Vec<_> = (0..alternatives)
        .map(|at| value(node, at).ok_or_else(|| form(format!("measurement {index}: no Hash{at}"))))
        .collect::<Result<_, _>>()?;
    // type, index, active, alternatives, size, name.
    if node.attributes().len() != 6 + values.len() {
        return Err(form(format!("measurement {index} says more than is known")));
    }
    Ok((index, active, values))
}

fn value(node: Node<'_, '_>, at: u8) -> Option<[u8; 48]> {
    let text = node.attribute((SHA384, format!("Hash{at}").as_str()))?;
    exactly(&hex::decode(text).ok()?).ok()
}

#[cfg(test)]
#[path = "rim_tests.rs"]
pub(super) mod tests;
