//! PodMetrics in protobuf, as metrics-server writes them.

/// What a pod used.
pub struct Usage {
    pub namespace: String,
    pub name: String,
    /// Sorted by key.
    pub labels: Vec<(String, String)>,
    /// Each container's name, cpu and memory.
    pub containers: Vec<(&'static str, String, String)>,
}

/// A PodMetricsList as a whole answer.
pub fn pod_metrics(usages: impl IntoIterator<Item = Usage>) -> Vec<u8> {
    let head = [text(1, "metrics.k8s.io/v1beta1"), text(2, "PodMetricsList")].concat();
    let items = usages.into_iter().flat_map(|usage| field(2, &item(&usage)));
    let list: Vec<u8> = field(1, b"").into_iter().chain(items).collect();
    [
        &b"k8s\0"[..],
        &field(1, &head),
        &field(2, &list),
        &text(3, ""),
        &text(4, ""),
    ]
    .concat()
}

fn item(usage: &Usage) -> Vec<u8> {
    let pair = |(key, value): &(String, String)| field(11, &[text(1, key), text(2, value)].concat());
    let labels: Vec<u8> = usage.labels.iter().flat_map(pair).collect();
    let created = field(8, &integer(1, 1_767_600_009));
    let metadata = [
        text(1, &usage.name),
        text(2, ""),
        text(3, &usage.namespace),
        text(4, ""),
        text(5, ""),
        text(6, ""),
        integer(7, 0),
        created,
        labels,
    ];
    let amount = |resource, amount: &str| field(2, &[text(1, resource), field(2, &text(1, amount))].concat());
    let container = |(name, cpu, memory): &(&str, String, String)| {
        field(
            4,
            &[text(1, name), amount("cpu", cpu), amount("memory", memory)].concat(),
        )
    };
    [
        field(1, &metadata.concat()),
        field(2, &[integer(1, 1_767_600_000), integer(2, 0)].concat()),
        field(3, &integer(1, 15_523_000_000)),
        usage.containers.iter().flat_map(container).collect(),
    ]
    .concat()
}

fn text(number: u8, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = varint(vec![number << 3 | 2], bytes.len() as u64);
    field.extend_from_slice(bytes);
    field
}

fn integer(number: u8, value: u64) -> Vec<u8> {
    varint(vec![number << 3], value)
}

fn varint(mut bytes: Vec<u8>, mut value: u64) -> Vec<u8> {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
