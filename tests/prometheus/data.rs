//! The series that the tests ask about: with everything that goes wrong with series.

use super::remote_write::STALE;
pub use super::remote_write::Written;

/// The time of all queries.
pub const NOW: i64 = 1_700_000_000;

/// The namespaces that are asked about. `empty` has nothing; the odd ones need escaping in strings, or in expressions.
pub const NAMESPACES: [&str; 6] = ["shop", "blog", "we.b", "empty", "a+b|c", "q\"u\\o$te"];

/// Every metric, in every namespace but `empty`, for pods of two apps; once as it is (`copy="all"`), and once without the
/// series that have no sample within the two minutes before [`NOW`] (`copy="fresh"`).
pub fn series() -> Vec<Written> {
    let mut random = Random(42);
    let mut all = Vec::new();
    for namespace in NAMESPACES.iter().copied().filter(|n| *n != "empty") {
        for pod in ["p-0", "p.1", "p-2", "gone", "late"] {
            let app = if random.below(2) == 0 { "web" } else { "api" };
            let base = [("namespace", namespace), ("pod", pod), ("app", app)];
            for code in ["200", "500"] {
                for path in ["/", "/x"] {
                    let labels = [&base[..], &[("code", code), ("path", path)]].concat();
                    add(&mut all, &mut random, "requests_total", &labels, pod, Kind::Counter);
                }
            }
            // A pod that is told by two, in one namespace: where one is needed, there are two.
            let instances: &[&str] = if namespace == "blog" && pod == "p-0" {
                &["a", "b"]
            } else {
                &["a"]
            };
            for instance in instances {
                let labels = [&base[..], &[("instance", *instance)]].concat();
                add(&mut all, &mut random, "limit", &labels, pod, Kind::Gauge);
            }
            add(&mut all, &mut random, "queue_length", &base, pod, Kind::Odd);
            for le in ["0.1", "1", "+Inf"] {
                let labels = [&base[..], &[("le", le)]].concat();
                add(&mut all, &mut random, "latency_bucket", &labels, pod, Kind::Counter);
            }
        }
    }
    let age = |ago: i64| ((NOW - ago) * 1000, ago as f64);
    for (state, last) in [("fresh", 10), ("ended", 200)] {
        all.push(Written {
            labels: labels("age", &[("n", "shop"), ("state", state)]),
            samples: (0..60i64).rev().map(|step| age(last + step * 15)).collect(),
        });
    }
    all
}

#[derive(Clone, Copy)]
enum Kind {
    /// Grows, and begins again now and then.
    Counter,
    /// Any number.
    Gauge,
    /// Any number, some of them none at all.
    Odd,
}

fn add(all: &mut Vec<Written>, random: &mut Random, name: &str, others: &[(&str, &str)], pod: &str, kind: Kind) {
    // Some pods lack some series.
    if random.below(6) == 0 {
        return;
    }
    // Each target is scraped at a moment of its own, and never at the edge of a window.
    let jitter = random.below(14_000) as i64 + 500;
    // `gone` was lost some minutes ago, without a word or with a marker; `late` has been there for a minute only.
    let (first, last) = match pod {
        "gone" => (60, 9 + random.below(9) as i64),
        "late" => (4, 0),
        _ => (60, 0),
    };
    let mut value = random.below(1000) as f64;
    let mut samples = Vec::new();
    for step in (last..first).rev() {
        if random.below(8) == 0 {
            continue;
        }
        value = match kind {
            Kind::Counter if random.below(15) == 0 => random.below(5) as f64,
            Kind::Counter => value + random.below(1000) as f64 / 7.0,
            Kind::Gauge => random.below(2000) as f64 / 3.0 - 300.0,
            Kind::Odd => match random.below(12) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                3 => 0.0,
                _ => random.below(2000) as f64 / 3.0 - 300.0,
            },
        };
        samples.push((NOW * 1000 - step * 15_000 - jitter, value));
    }
    let fresh = samples.last().is_some_and(|(at, _)| *at >= (NOW - 120) * 1000);
    if pod == "gone" && random.below(2) == 0 {
        samples.push((NOW * 1000 - (last - 1) * 15_000 - jitter, f64::from_bits(STALE)));
    }
    if samples.is_empty() {
        return;
    }
    for copy in ["all", "fresh"] {
        if copy == "all" || fresh {
            let labels = labels(name, &[others, &[("copy", copy)]].concat());
            let samples = samples.clone();
            all.push(Written { labels, samples });
        }
    }
}

fn labels(name: &str, others: &[(&str, &str)]) -> Vec<(String, String)> {
    let name = [("__name__", name)];
    let all = name.iter().chain(others);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The same numbers in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
