# The parts of `tests/run --extended`: what takes too long for CI, or needs what CI's machine does not have. Read by `tests/run`,
# which stands in the repository's root with its functions and variables (`fail`, `go_is_built`, `$target`, `$rest`).
# A part is a function here with a text about_NAME (`-` in a name is `_` there), and a line in
# CONTRIBUTING.md. Settings are environment variables with a default. A part that cannot run fails and says why.

about_advisories="cargo deny: known holes in the crates we use; fetches the advisory database, so it needs the internet"
advisories() {
  cargo deny --log-level error check advisories || fail "advisories: a crate has a known hole, or the database could not be fetched (above)"
}

about_fuzz="each parser of outside data under libFuzzer, MINUTES (10) each; after -- the names of some"
fuzz() { fuzz/run "${rest[@]}"; }

about_scenarios="COUNT (20,000) new scenarios from Kubernetes' own controller decided again, from seed SEED (1)"
scenarios() {
  cargo build --quiet
  build_go; go_is_built
  TRIMTAB=$target/debug/trimtab tests/conformance/fresh --count "${COUNT:-20000}" --seed "${SEED:-1}"
}
