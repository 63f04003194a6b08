//! Writes small databases in MaxMind's format, version 2.0, for tests.

use std::net::IpAddr;

/// A value of the data section.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Text(String),
    Double(f64),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
    Bool(bool),
    Array(Vec<Data>),
    Map(Vec<(String, Data)>),
}

impl Data {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn map<const N: usize>(members: [(&str, Data); N]) -> Self {
        Self::Map(members.map(|(name, data)| (name.to_owned(), data)).into())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                control(2, text.len(), out);
                out.extend(text.as_bytes());
            }
            Self::Double(value) => {
                control(3, 8, out);
                out.extend(value.to_be_bytes());
            }
            Self::Uint16(value) => {
                control(5, 2, out);
                out.extend(value.to_be_bytes());
            }
            Self::Uint32(value) => {
                control(6, 4, out);
                out.extend(value.to_be_bytes());
            }
            Self::Uint64(value) => {
                control(9, 8, out);
                out.extend(value.to_be_bytes());
            }
            Self::Bool(value) => control(14, usize::from(*value), out),
            Self::Array(items) => {
                control(11, items.len(), out);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(members) => {
                control(7, members.len(), out);
                for (name, data) in members {
                    Self::text(name).write(out);
                    data.write(out);
                }
            }
        }
    }
}

/// The control byte: type and size; types above 7 have a byte of their own.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    assert!(size < 285, "a test needs no more");
    let short = u8::try_from(size.min(29)).unwrap();
    if kind <= 7 {
        out.push(kind << 5 | short);
    } else {
        out.extend([short, kind - 7]);
    }
    if size >= 29 {
        out.push(u8::try_from(size - 29).unwrap());
    }
}

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database of this type and IP version with these networks.
pub(super) fn file(kind: &str, version: u16, networks: &[(&str, Data)]) -> Vec<u8> {
    let mut tree = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let at = data.len();
        record.write(&mut data);
        insert(&mut tree, &bits(network, version), at);
    }
    let nodes = tree.len();
    let mut out = Vec::new();
    for record in tree.iter().flatten() {
        let value = match record {
            Record::Nothing => nodes,
            Record::Node(node) => *node,
            Record::Data(at) => nodes + 16 + at,
        };
        out.extend(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    Data::map([
        ("binary_format_major_version", Data::Uint16(2)),
        ("binary_format_minor_version", Data::Uint16(0)),
        ("build_epoch", Data::Uint64(1_700_000_000)),
        ("database_type", Data::text(kind)),
        ("description", Data::map([("en", Data::text("a test"))])),
        ("ip_version", Data::Uint16(version)),
        ("languages", Data::Array(vec![Data::text("en")])),
        ("node_count", Data::Uint32(u32::try_from(nodes).unwrap())),
        ("record_size", Data::Uint16(24)),
    ])
    .write(&mut out);
    out
}

/// The bits of a network; IPv4 stands under `::/96` in a database of IPv6.
fn bits(network: &str, version: u16) -> Vec<usize> {
    let (ip, length) = network.split_once('/').unwrap();
    let length: usize = length.parse().unwrap();
    let (octets, length) = match (ip.parse().unwrap(), version) {
        (IpAddr::V4(ip), 4) => (ip.octets().to_vec(), length),
        (IpAddr::V4(ip), _) => ([vec![0; 12], ip.octets().to_vec()].concat(), length + 96),
        (IpAddr::V6(ip), _) => (ip.octets().to_vec(), length),
    };
    let bit = |at: usize| usize::from(octets[at / 8] >> (7 - at % 8) & 1);
    (0..length).map(bit).collect()
}

fn insert(tree: &mut Vec<[Record; 2]>, bits: &[usize], data: usize) {
    let (last, way) = bits.split_last().unwrap();
    let mut node = 0;
    for bit in way {
        node = match tree[node][*bit] {
            Record::Node(next) => next,
            _ => {
                tree.push([Record::Nothing; 2]);
                let next = tree.len() - 1;
                tree[node][*bit] = Record::Node(next);
                next
            }
        };
    }
    tree[node][*last] = Record::Data(data);
}
