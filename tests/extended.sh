# The parts of `tests/run --extended`: what takes too long for CI, or needs what CI's machine does not have. Read by `tests/run`,
# which stands in the repository's root with its functions and variables (`fail`, `go_is_built`, `$target`, `$rest`).
# A part is a function here with a text about_NAME (`-` in a name is `_` there), and a line in
# CONTRIBUTING.md. Settings are environment variables with a default. A part that cannot run fails and says why.

about_advisories="cargo deny: known holes in the crates we use; fetches the advisory database, or takes the clone of it in ADVISORY_DB"
advisories() {
  # For a machine without internet: cargo deny takes its database by git only, and from its own address.
  [ -z "${ADVISORY_DB:-}" ] || export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$(realpath "$ADVISORY_DB").insteadOf" \
    GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db
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

about_handover="KILLS (100) leaders killed and STOPS (100) stopped on a real kube-apiserver: how long until the next one decides"
handover() { recorded handover handover "${KILLS:-100}" "${STOPS:-100}"; }

about_soak_cluster="1,000 autoscalers for MINUTES (20) on a real kube-apiserver with flapping APIs: nothing grows"
soak_cluster() { recorded soak soak M; }

about_soak_simulation="2,000 virtual days (after -- another number) of the simulated cluster in one process: nothing grows"
soak_simulation() {
  local figures; figures=$(mktemp)
  cargo --config tests/soak.toml test --quiet --profile counted --test soak -- "${rest[0]:-2000}" "$figures"
  kept soak days "$figures"
}

# recorded PAGE COMMAND ARGUMENT...: runs one of benches/cluster and puts its figures into docs/PAGE.md.
recorded() {
  local figures; figures=$(mktemp)
  RECORD=$figures "benches/cluster/${@:2}"
  kept "$1" figures "$figures"
}

# kept PAGE MARK FILE: puts the file between <!-- MARK --> and <!-- end --> in docs/PAGE.md.
kept() {
  sed -i -e "/<!-- $2 -->/,/<!-- end -->/{/<!-- $2 -->/r $3" -e '/<!--/!d}' "docs/$1.md"
  rm -f "$3"
}

about_hostile="the largest objects that a real API server lets through, beside an ordinary autoscaler"
hostile() {
  cargo nextest run --cargo-quiet --profile cluster --test cluster --no-run
  build_go; go_is_built
  export TEST_CLUSTER=$state/run
  clusters=1
  RUN=$TEST_CLUSTER tests/cluster/up -hpa sample-metrics >/dev/null
  cargo nextest run --cargo-quiet --profile cluster --run-ignored all --retries 0 --test cluster hostile::
}

about_kills="windows over a SIGKILL at every moment around passes, saves and writes, in virtual time"
kills() { KILLS=all cargo test --lib -- handed_over; }
