#!/bin/bash
# Cargo's workspace wrapper (RUSTC_WORKSPACE_WRAPPER) of `cargo xtask fuzz`: this
# workspace's libraries, and the fuzzer, which decodes frames in code of its own, are
# compiled with LLVM's inline 8-bit counters, one for each edge. The options are stable;
# the counters' owner is tests/fuzz/src/coverage.rs. Other programs are left alone: they
# would need that owner linked in.
rustc=$1
shift
case " $* " in
*" --crate-type lib "* | *" --crate-name redoubt_fuzz "*)
    exec "$rustc" "$@" -C passes=sancov-module \
        -C llvm-args=-sanitizer-coverage-level=3 \
        -C llvm-args=-sanitizer-coverage-inline-8bit-counters
    ;;
esac
exec "$rustc" "$@"
