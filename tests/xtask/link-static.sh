#!/bin/bash
# bash, since dash drops variables such as CARGO_BIN_EXE_redoubt-worker.
# Cargo's workspace wrapper (RUSTC_WORKSPACE_WRAPPER): links the enclave and the
# auditor's program statically, and only those two. Passing the flag to the final
# link alone keeps every dependency shared with the dynamic programs and the tests,
# so one build makes all of them. The worker stays dynamic: it loads libraries.
rustc=$1
shift
case " $* " in
*" --test "*) ;;
*" --crate-name redoubt_enclave "*" --crate-type bin "* | \
*" --crate-name redoubt_audit "*" --crate-type bin "*)
    exec "$rustc" "$@" -C target-feature=+crt-static
    ;;
esac
exec "$rustc" "$@"
