//! The binary: everything that it does is in [`trimtab::commands`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything can open a TLS connection: rustls takes no provider by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    trimtab::commands::main(std::env::args_os(), std::env::vars_os()).into()
}
