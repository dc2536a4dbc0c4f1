//! Reading label bytes as a sender encoded them.

/// The labels of a raw `TimeSeries` prefix (`0a <len> { 0a <len> name 12 <len> value }` …), sorted by name, without empty values.
/// `None` if the bytes are not that: the log carries only what the wire part accepted, so this is no longer any sender's fault.
pub fn decode<'a>(bytes: &'a [u8], labels: &mut Vec<(&'a str, &'a str)>) -> Option<()> {
    labels.clear();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (field, label) = next_field(&mut rest)?;
        if field == 1 {
            let pair = decode_label(label)?;
            if !pair.1.is_empty() {
                labels.push(pair);
            }
        }
    }
    if !labels.is_sorted_by(|a, b| a.0 < b.0) {
        labels.sort_by(|a, b| a.0.cmp(b.0));
        labels.dedup_by(|b, a| a.0 == b.0);
    }
    Some(())
}

fn decode_label(mut bytes: &[u8]) -> Option<(&str, &str)> {
    let (mut name, mut value) = ("", "");
    while !bytes.is_empty() {
        let (field, text) = next_field(&mut bytes)?;
        match field {
            1 => name = std::str::from_utf8(text).ok()?,
            2 => value = std::str::from_utf8(text).ok()?,
            _ => {}
        }
    }
    Some((name, value))
}

/// The number and bytes of the next length-delimited field.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = varint(bytes)?;
    if tag & 7 != 2 {
        return None;
    }
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((tag >> 3, field))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Encodes labels in the order given, as a sender would.
#[cfg(test)]
pub fn encode(labels: &[(&str, &str)], out: &mut Vec<u8>) {
    fn length(value: usize, out: &mut Vec<u8>) {
        let mut rest = value;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    for (name, value) in labels {
        let mut label = Vec::new();
        for (tag, text) in [(0x0a, name), (0x12, value)] {
            label.push(tag);
            length(text.len(), &mut label);
            label.extend(text.as_bytes());
        }
        out.push(0x0a);
        length(label.len(), out);
        out.extend(label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_and_empty_values_do_not_matter() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        encode(&[("__name__", "up"), ("job", "node")], &mut one);
        encode(&[("job", "node"), ("zone", ""), ("__name__", "up")], &mut two);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        decode(&one, &mut a).unwrap();
        decode(&two, &mut b).unwrap();
        assert_eq!(a, b);
        assert_eq!(a, [("__name__", "up"), ("job", "node")]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes, &mut Vec::new());
        }
    }
}
