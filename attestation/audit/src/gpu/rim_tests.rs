//! Files of reference values, well made and not.

use proptest::prelude::*;

use super::*;

/// One `Resource`; NVIDIA's index.
pub(in crate::gpu) fn resource(index: u8, active: bool, values: &[[u8; 48]]) -> String {
    let active = if active { "True" } else { "False" };
    let hashes: String = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!(" h:Hash{at}=\"{}\"", hex::encode(value)))
        .collect();
    format!(
        "<s:Resource type=\"Measurement\" index=\"{index}\" active=\"{active}\" \
         alternatives=\"{}\"{hashes} name=\"Measurement_{index}\" size=\"48\"/>\n",
        values.len()
    )
}

/// A whole file.
pub(in crate::gpu) fn tag(version: &str, resources: &[String]) -> String {
    format!(
        "<SoftwareIdentity xmlns=\"{SWID}\" xmlns:s=\"{SWID}\" xmlns:h=\"{SHA384}\" name=\"GH100\">\n\
         <s:Entity name=\"Example\" role=\"tagCreator\"/>\n\
         <s:Meta colloquialVersion=\"{version}\" edition=\"GPU\" product=\"GH100\"/>\n\
         <s:Payload>\n{}</s:Payload>\n\
         <ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo/></ds:Signature>\n\
         </SoftwareIdentity>",
        resources.concat()
    )
}

fn good() -> String {
    let values = [[1; 48], [2; 48]];
    tag(
        "590.12",
        &[
            resource(0, true, &values),
            resource(7, false, &values[..1]),
            resource(63, true, &values[1..]),
        ],
    )
}

fn code(text: &str) -> &'static str {
    Rim::parse(text.as_bytes()).map_or_else(|error| error.code(), |_| "read")
}

#[test]
fn active_measurements_are_read_under_spdms_numbers() {
    let rim = Rim::parse(good().as_bytes()).unwrap();
    assert_eq!(rim.version, "590.12");
    let expected = [(1, vec![[1; 48], [2; 48]]), (64, vec![[2; 48]])];
    assert_eq!(rim.active, BTreeMap::from(expected));
    // Spaces, quotes, a declaration and comments change nothing.
    let other = good().replace("active=\"True\"", "  active='True'");
    let other = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- x -->{other}");
    assert_eq!(Rim::parse(other.as_bytes()).unwrap(), rim);
}

#[test]
fn each_file_of_another_form_is_refused_under_its_own_name() {
    let bent = |from: &str, to: &str| {
        let text = good().replacen(from, to, 1);
        assert_ne!(text, good(), "{from}");
        text
    };
    let row = |index| resource(index, true, &[[1; 48]]);
    for (expected, text) in [
        ("rim_xml", String::new()),
        ("rim_xml", "no XML".into()),
        ("rim_xml", bent("</s:Payload>", "")),
        ("rim_xml", bent("name=\"Measurement_0\"", "size=\"48\"")),
        ("rim_xml", bent("s:Meta", "t:Meta")),
        ("rim_form", bent(SWID, "urn:other")),
        ("rim_form", "<SoftwareIdentity/>".into()),
        ("rim_form", bent("colloquialVersion", "version")),
        ("rim_form", tag("", &[row(0)])),
        ("rim_form", tag("1 2", &[row(0)])),
        (
            "rim_form",
            bent("<s:Meta", "<s:Meta colloquialVersion=\"1\"/><s:Meta"),
        ),
        ("rim_form", bent("<s:Payload>", "<s:Payload/><s:Payload>")),
        ("rim_form", bent("<s:Payload>", "<s:Payload>text")),
        ("rim_form", bent("<s:Payload>", "<s:Payload><s:Payload/>")),
        (
            "rim_form",
            bent("<s:Payload>", "<s:Payload><Resource xmlns=\"urn:x\"/>"),
        ),
        ("rim_form", bent("type=\"Measurement\"", "type=\"File\"")),
        ("rim_form", bent("active=\"True\"", "active=\"true\"")),
        ("rim_form", bent("active=\"True\" ", "")),
        ("rim_form", bent("index=\"0\"", "index=\"00\"")),
        ("rim_form", bent("index=\"0\"", "index=\"+0\"")),
        ("rim_form", bent("index=\"0\"", "index=\"254\"")),
        ("rim_form", bent("index=\"0\"", "index=\"256\"")),
        ("rim_form", bent("index=\"0\"", "index=\"-1\"")),
        ("rim_form", bent("alternatives=\"2\"", "alternatives=\"3\"")),
        ("rim_form", bent("alternatives=\"2\"", "alternatives=\"1\"")),
        ("rim_form", bent("alternatives=\"2\"", "alternatives=\"0\"")),
        ("rim_form", bent("size=\"48\"", "size=\"64\"")),
        ("rim_form", bent("h:Hash0", "Hash0")),
        ("rim_form", bent("Hash0=\"01", "Hash0=\"")),
        ("rim_form", bent("Hash0=\"01", "Hash0=\"zz")),
        ("rim_form", bent("name=\"Measurement_0\"", "extra=\"1\"")),
        (
            "rim_form",
            bent("name=\"Measurement_0\"", "name=\"x\" extra=\"1\""),
        ),
        ("rim_duplicate_index", tag("1", &[row(4), row(4)])),
        (
            "rim_duplicate_index",
            tag("1", &[row(4), resource(4, false, &[[1; 48]])]),
        ),
        ("rim_empty", tag("1", &[])),
        ("rim_empty", tag("1", &[resource(4, false, &[[1; 48]])])),
        ("rim_too_large", good() + &" ".repeat(RIM_MAX)),
    ] {
        assert_eq!(code(&text), expected, "{text}");
    }
    assert_eq!(Rim::parse(&[0xff]).unwrap_err().code(), "rim_xml");
}

#[test]
fn a_document_type_is_refused_and_no_entity_is_made() {
    let bomb = "<!DOCTYPE SoftwareIdentity [<!ENTITY a \"aaaaaaaaaa\">\
        <!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]>";
    let outside = "<!DOCTYPE SoftwareIdentity SYSTEM \"file:///etc/passwd\">";
    for head in [bomb, outside, "<!DOCTYPE SoftwareIdentity>"] {
        assert_eq!(code(&format!("{head}{}", good())), "rim_xml", "{head}");
    }
    assert_eq!(code(&good().replacen("590.12", "&c;", 1)), "rim_xml");
}

#[test]
fn deep_and_wide_files_end_in_a_refusal() {
    let deep = "<a>".repeat(RIM_MAX / 4);
    assert_eq!(code(&deep), "rim_xml");
    let wide = format!("<a>{}</a>", "<b/>".repeat(RIM_MAX / 8));
    assert_eq!(code(&wide), "rim_xml");
    let attributes: String = (0..20_000).map(|at| format!(" a{at}=''")).collect();
    assert_ne!(code(&format!("<a{attributes}/>")), "read");
}

#[test]
fn every_truncation_is_refused() {
    let good = good();
    for end in 0..good.len() {
        assert_eq!(code(&good[..end]), "rim_xml", "{end}");
    }
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = good().into_bytes();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Rim::parse(&bytes);
    }
}
