//! Prometheus' remote write, as much of it as it takes to bring in samples: the only way to write a staleness marker.

/// What a series ends with when its target is gone.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A series with its samples: Unix milliseconds and values, in the order of time.
#[derive(Clone)]
pub struct Written {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<(i64, f64)>,
}

/// The body of a request: protobuf `WriteRequest` in snappy's block format, uncompressed.
pub fn body(series: &[Written]) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series {
        let mut message = Vec::new();
        let mut labels = one.labels.clone();
        labels.sort();
        for (name, value) in &labels {
            let mut label = Vec::new();
            bytes(&mut label, 1, name.as_bytes());
            bytes(&mut label, 2, value.as_bytes());
            bytes(&mut message, 1, &label);
        }
        for (at, value) in &one.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend(value.to_bits().to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, at.cast_unsigned());
            bytes(&mut message, 2, &sample);
        }
        bytes(&mut request, 1, &message);
    }
    let mut body = Vec::new();
    varint(&mut body, request.len() as u64);
    for literal in request.chunks(60_000) {
        // A literal with its length less one in two bytes.
        body.push(61 << 2);
        body.extend(((literal.len() - 1) as u16).to_le_bytes());
        body.extend(literal);
    }
    body
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
