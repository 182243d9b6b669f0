//! `cargo xtask build` names this test so that cargo selects the features the
//! tests need; see `src/programs.rs`.

#[test]
fn the_build_selects_features_by_this_tests_name() {
    let source = include_str!("../src/programs.rs");
    assert!(source.contains(r#""--test", "selection""#));
}
