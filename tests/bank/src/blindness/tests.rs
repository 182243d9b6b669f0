use super::index::{DISTINCT_MIN, WINDOW, eligible};
use super::*;
use proptest::prelude::*;

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(step).collect()
}

fn image_markers(dir: &Path, image: &[u8]) -> Markers {
    let path = dir.join("image.jpg");
    std::fs::write(&path, image).unwrap();
    let mut markers = Markers::default();
    markers.image("image", path);
    markers
}

fn found(index: &Index, haystack: &[u8]) -> Vec<String> {
    let name = |f: Finding| format!("{}/{}", f.marker, f.encoding);
    index.scan(haystack).into_iter().map(name).collect()
}

#[test]
fn every_window_of_an_image_is_found_at_any_alignment() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(3001, 1);
    let index = Index::build(&image_markers(dir.path(), &image)).unwrap();
    for (at, window) in image.windows(WINDOW).enumerate() {
        let mut haystack = noise(50 + at % 37, at as u64 + 7);
        haystack.extend_from_slice(window);
        haystack.extend(noise(20, at as u64 + 9));
        assert_eq!(found(&index, &haystack), ["image/raw"], "window at {at}");
    }
}

#[test]
fn a_window_one_byte_short_is_not_a_find() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(500, 2);
    let index = Index::build(&image_markers(dir.path(), &image)).unwrap();
    let mut haystack = vec![0; 64];
    haystack[10..41].copy_from_slice(&image[100..131]);
    assert!(found(&index, &haystack).is_empty());
}

#[test]
fn runs_of_one_byte_in_an_image_do_not_accuse_padding() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = noise(500, 3);
    image.extend_from_slice(&[0; 200]);
    let index = Index::build(&image_markers(dir.path(), &image)).unwrap();
    assert!(found(&index, &[0; 4096]).is_empty());
    assert!(!eligible(&[0; WINDOW]));
    let few: Vec<u8> = (0..WINDOW).map(|n| (n % DISTINCT_MIN) as u8).collect();
    assert!(eligible(&few));
}

#[test]
fn a_window_beside_a_run_of_zeros_is_found_and_the_run_costs_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = vec![0; 20_000];
    image[9_000..9_020].copy_from_slice(&noise(20, 8));
    let index = Index::build(&image_markers(dir.path(), &image)).unwrap();
    let mut haystack = vec![0; 2_000_000];
    let started = std::time::Instant::now();
    assert!(found(&index, &haystack).is_empty());
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    for from in [8_988, 8_996, 9_005] {
        haystack[1_000_003..1_000_035].copy_from_slice(&image[from..from + WINDOW]);
        assert_eq!(found(&index, &haystack), ["image/raw"], "from {from}");
    }
}

#[test]
fn a_part_of_an_image_is_found_in_base64_whatever_its_offset() {
    use base64::Engine as _;
    let dir = tempfile::tempdir().unwrap();
    let image = noise(900, 4);
    let index = Index::build(&image_markers(dir.path(), &image)).unwrap();
    for at in 100..104 {
        let text = base64::engine::general_purpose::STANDARD.encode(&image[at..at + 60]);
        let names = found(&index, text.as_bytes());
        assert!(
            names.iter().any(|n| n.contains("base64")),
            "{at}: {names:?}"
        );
        let hex = hex::encode_upper(&image[at..at + 60]);
        assert_eq!(found(&index, hex.as_bytes()), ["image/hex-upper"]);
    }
}

#[test]
fn an_embedding_is_found_as_floats_and_as_bytes() {
    let values: Vec<f32> = (0..128)
        .map(|n| ((n * 37 % 97) as f32 - 48.0) / 400.0)
        .collect();
    let markers = Markers {
        vectors: vec![NamedVector {
            name: "embedding".into(),
            values: values.clone(),
        }],
        ..Markers::default()
    };
    let index = Index::build(&markers).unwrap();
    let floats: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let part = &floats[129..129 + 64];
    assert!(found(&index, part).contains(&"embedding/f32-le raw".to_owned()));
    let bytes: Vec<u8> = values
        .iter()
        .map(|v| (v * 127.0).round() as i8 as u8)
        .collect();
    assert!(found(&index, &bytes[3..80]).contains(&"embedding/int8 raw".to_owned()));
}

#[test]
fn a_capture_with_a_planted_secret_fails_and_a_clean_one_passes_its_control() {
    let dir = tempfile::tempdir().unwrap();
    let mut markers = image_markers(dir.path(), &noise(2000, 5));
    markers.text("customer", "customer-8c1d2e7f");
    let clean = dir.path().join("clean");
    std::fs::write(&clean, noise(70_000, 6)).unwrap();
    let leaky = dir.path().join("leaky");
    std::fs::write(&leaky, b"GET /x?user=Y3VzdG9tZXItOGMxZDJlN2Y HTTP/1.1").unwrap();
    let reports = search(&[clean, leaky], &markers).unwrap();
    assert!(reports[0].ok, "{:?}", reports[0]);
    assert_eq!(reports[0].control_found, reports[0].control_planted);
    assert!(!reports[1].ok);
    assert_eq!(reports[1].found[0].marker, "customer");
}

#[test]
fn an_empty_capture_fails() {
    let dir = tempfile::tempdir().unwrap();
    let mut markers = Markers::default();
    markers.text("customer", "customer-8c1d2e7f");
    let empty = dir.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert!(!search(&[empty], &markers).unwrap()[0].ok);
}

#[test]
fn a_marker_that_chance_would_find_is_refused() {
    let mut markers = Markers::default();
    markers.text("amount", "250.00");
    assert!(Index::build(&markers).is_err());
    assert!(Index::build(&Markers::default()).is_err());
}

proptest! {
    #[test]
    fn a_text_is_found_in_base64_between_any_neighbours(
        before in proptest::collection::vec(any::<u8>(), 0..40),
        after in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        use base64::Engine as _;
        let mut markers = Markers::default();
        markers.text("reference", "INVOICE-2041-7731");
        let index = Index::build(&markers).unwrap();
        let mut whole = before;
        whole.extend_from_slice(b"INVOICE-2041-7731");
        whole.extend_from_slice(&after);
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&whole);
        prop_assert!(!found(&index, text.as_bytes()).is_empty());
    }
}
