//! What was found of a peer, as the line that its own program prints.

use crate::measure::{Found, Times};

pub fn write(found: &Found) -> String {
    let times = found
        .times
        .map_or(String::new(), |t| format!("{} {} {}", t.p50, t.p99, t.mean));
    let (agreed, asked) = (found.agreed.to_string(), found.asked.to_string());
    [
        &*found.name,
        &found.version,
        &found.note,
        &agreed,
        &asked,
        &times,
    ]
    .join("\t")
}

/// `None` where it is no such line.
pub fn read(line: &str) -> Option<Found> {
    let mut parts = line.trim_end().split('\t');
    let mut next = || parts.next().map(str::to_owned);
    let (name, version, note) = (next()?, next()?, next()?);
    let (agreed, asked) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let times = next()?;
    let mut times = times.split(' ').map(str::parse);
    let mut time = || times.next()?.ok();
    let times = Some(Times {
        p50: time()?,
        p99: time()?,
        mean: time()?,
    });
    Some(Found {
        name,
        version,
        note,
        agreed,
        asked,
        times,
    })
}
