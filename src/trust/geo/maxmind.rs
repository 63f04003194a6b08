//! Databases in MaxMind's format (`.mmdb`): City, Country, and what else has the same members.

#[cfg(test)]
mod mmdb;

use std::fmt;
use std::fs::Metadata;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use maxminddb::Reader;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::{GeoAnswer, GeoSource};
use crate::base::files;
use crate::trust::model::{Country, Point};

/// Largest file that is read into memory.
const LARGEST: u64 = 1 << 30;
/// Parts of names of databases that tell where an address is, in lower case.
const KINDS: [&str; 5] = ["city", "country", "enterprise", "insights", "anonymous"];
/// Records that are looked at when a file is opened.
const LOOKED_AT: usize = 64;
/// Records whose answers are remembered.
const SLOTS: usize = 4_096;
/// Accuracy of a point for which none is given, in metres.
const COARSE: u32 = 100_000;

/// A database in MaxMind's format, in memory.
pub struct MaxMind {
    path: PathBuf,
    loaded: ArcSwap<Loaded>,
}

struct Loaded {
    reader: Reader<Vec<u8>>,
    stamp: Stamp,
    /// Answers by where their records are, each at one place: reading a record takes longer than
    /// finding it, and many addresses share one.
    read: Vec<Mutex<Slot>>,
}

/// Where a record is, and what it says.
type Slot = Option<(usize, Option<GeoAnswer>)>;

impl Loaded {
    fn new(reader: Reader<Vec<u8>>, stamp: Stamp) -> Self {
        let read = std::iter::repeat_with(Mutex::default).take(SLOTS);
        Self {
            reader,
            stamp,
            read: read.collect(),
        }
    }

    fn look_up(&self, ip: IpAddr) -> Option<GeoAnswer> {
        // Of IPv6 a database of IPv4 knows nothing, and says so by an error.
        let found = self.reader.lookup(ip.to_canonical()).ok()?;
        let record = found.offset()?;
        let answer = || answer(&found.decode::<Record<'_>>().ok()??);
        // Records lie close together: their places are spread by a prime.
        let slot = self.read.get(record.wrapping_mul(0x9e37_79b1) / 64 % SLOTS);
        // Whoever finds a slot taken does not wait for it.
        let Some(mut slot) = slot.and_then(|slot| slot.try_lock().ok()) else {
            return answer();
        };
        match *slot {
            Some((known, read)) if known == record => read,
            _ => slot.insert((record, answer())).1,
        }
    }
}

/// By what a changed file is told from the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        }
    }
}

impl fmt::Debug for MaxMind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxMind")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The members that are read of a record; everything else is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    country: Option<InCountry<'a>>,
    location: Option<Location>,
    traits: Option<Traits>,
    /// Databases of anonymous addresses have their members at the top.
    is_anonymous: bool,
    is_anonymous_vpn: bool,
    is_public_proxy: bool,
    is_residential_proxy: bool,
    is_tor_exit_node: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InCountry<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<Number>,
    longitude: Option<Number>,
    /// In kilometres.
    accuracy_radius: Option<Number>,
}

/// A number of whatever type a vendor chose for it.
#[derive(Debug, Clone, Copy)]
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A hosting provider alone hides nobody.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Traits {
    is_anonymous: bool,
    is_anonymous_proxy: bool,
    is_anonymous_vpn: bool,
    is_public_proxy: bool,
    is_residential_proxy: bool,
    is_tor_exit_node: bool,
}

impl MaxMind {
    /// Reads a database into memory.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a database that tells where addresses are.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, String> {
        let path = path.into();
        let loaded = read(&path)?;
        Ok(Self {
            path,
            loaded: ArcSwap::from_pointee(loaded),
        })
    }

    /// Reads the file again if it is another one; whether it was. Look-ups go on meanwhile.
    ///
    /// # Errors
    /// When the changed file cannot be taken. The database that was read before stays.
    pub fn reload(&self) -> Result<bool, String> {
        let metadata = std::fs::metadata(&self.path).map_err(|e| fault(&self.path, &e))?;
        if Stamp::of(&metadata) == self.loaded.load().stamp {
            return Ok(false);
        }
        self.loaded.store(Arc::new(read(&self.path)?));
        Ok(true)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of database it is, such as `GeoLite2-City`.
    #[must_use]
    pub fn kind(&self) -> String {
        let loaded = self.loaded.load();
        loaded.reader.metadata().database_type.clone()
    }

    /// When it was built, in seconds since the Unix epoch.
    #[must_use]
    pub fn built(&self) -> u64 {
        self.loaded.load().reader.metadata().build_epoch
    }
}

impl GeoSource for MaxMind {
    fn look_up(&self, ip: IpAddr) -> Option<GeoAnswer> {
        self.loaded.load().look_up(ip)
    }
}

/// What a record says; nothing if it says nothing that is read here.
fn answer(record: &Record<'_>) -> Option<GeoAnswer> {
    let code = record.country.as_ref().and_then(|country| country.iso_code);
    let location = record.location.as_ref();
    let point = location.and_then(point);
    let radius = location.and_then(radius);
    let of_traits = record.traits.as_ref().is_some_and(|traits| {
        traits.is_anonymous
            || traits.is_anonymous_proxy
            || traits.is_anonymous_vpn
            || traits.is_public_proxy
            || traits.is_residential_proxy
            || traits.is_tor_exit_node
    });
    let answer = GeoAnswer {
        country: code.and_then(Country::new),
        point,
        accuracy: match (point, radius) {
            (None, _) => 0,
            (Some(_), Some(metres)) => metres,
            (Some(_), None) => COARSE,
        },
        anonymous: of_traits
            || record.is_anonymous
            || record.is_anonymous_vpn
            || record.is_public_proxy
            || record.is_residential_proxy
            || record.is_tor_exit_node,
    };
    (answer != GeoAnswer::default()).then_some(answer)
}

/// A number times `by`, rounded; nothing for what is beyond `most` either way, and for no number.
fn whole(number: Option<Number>, most: f64, by: f64) -> Option<i32> {
    let number = number?.0;
    if number.is_nan() || number.abs() > most {
        return None;
    }
    // Within bounds: no more than nine digits.
    #[allow(clippy::cast_possible_truncation, reason = "at most 180 million")]
    Some((number * by).round() as i32)
}

fn point(location: &Location) -> Option<Point> {
    Some(Point {
        latitude: whole(location.latitude, 90.0, 1e6)?,
        longitude: whole(location.longitude, 180.0, 1e6)?,
    })
}

/// In metres. Half of the earth's girth is as little as is known of anything.
fn radius(location: &Location) -> Option<u32> {
    let metres = whole(location.accuracy_radius, 20_037.0, 1e3)?;
    u32::try_from(metres).ok().filter(|metres| *metres > 0)
}

fn fault(path: &Path, error: &dyn fmt::Display) -> String {
    format!("`{}`: {error}", path.display())
}

fn read(path: &Path) -> Result<Loaded, String> {
    // Before reading: what changes meanwhile is read again.
    let metadata = std::fs::metadata(path).map_err(|error| fault(path, &error))?;
    let bytes = files::read(path, LARGEST).map_err(|error| fault(path, &error))?;
    let reader = Reader::from_source(bytes).map_err(|error| {
        fault(
            path,
            &format_args!("is not a database in MaxMind's format: {error}"),
        )
    })?;
    let kind = reader.metadata().database_type.to_ascii_lowercase();
    if !KINDS.iter().any(|known| kind.contains(known)) {
        let kind: String = kind.chars().take(60).collect();
        return Err(fault(
            path,
            &format_args!(
                "is a database `{}`; one of cities or countries is needed",
                kind.escape_debug()
            ),
        ));
    }
    tells_something(&reader).map_err(|message| fault(path, &message))?;
    let stamp = Stamp::of(&metadata);
    Ok(Loaded::new(reader, stamp))
}

/// Refuses a database whose first records all have another shape: others use the same names.
fn tells_something(reader: &Reader<Vec<u8>>) -> Result<(), String> {
    let networks = reader
        .networks(Default::default())
        .map_err(|error| error.to_string())?;
    let mut seen = 0;
    for found in networks.take(LOOKED_AT) {
        let found = found.map_err(|error| error.to_string())?;
        seen += 1;
        if matches!(found.decode::<Record<'_>>(), Ok(Some(record)) if answer(&record).is_some()) {
            return Ok(());
        }
    }
    if seen < LOOKED_AT {
        return Err("none of its records tells where an address is".to_owned());
    }
    // The first ones may be of addresses that nothing is known of.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::mmdb::{Data, file};
    use super::*;

    fn city() -> Vec<u8> {
        let names = Data::map([
            ("de", Data::text("Schweiz")),
            ("en", Data::text("Switzerland")),
        ]);
        let place = |code: &str, latitude: f64, longitude: f64, radius: u16| {
            Data::map([
                ("city", Data::map([("names", names.clone())])),
                (
                    "country",
                    Data::map([
                        ("geoname_id", Data::Uint32(7)),
                        ("iso_code", Data::text(code)),
                        ("names", names.clone()),
                    ]),
                ),
                (
                    "location",
                    Data::map([
                        ("accuracy_radius", Data::Uint16(radius)),
                        ("latitude", Data::Double(latitude)),
                        ("longitude", Data::Double(longitude)),
                        ("time_zone", Data::text("Europe/Zurich")),
                    ]),
                ),
                (
                    "subdivisions",
                    Data::Array(vec![Data::map([("names", names.clone())])]),
                ),
            ])
        };
        let anonymous = Data::map([
            ("country", Data::map([("iso_code", Data::text("nl"))])),
            (
                "traits",
                Data::map([("is_anonymous_vpn", Data::Bool(true))]),
            ),
        ]);
        file(
            "GeoLite2-City",
            6,
            &[
                ("81.2.69.0/24", place("GB", 51.5142, -0.0931, 10)),
                ("89.160.0.0/16", place("CH", 47.3769, 8.5417, 50)),
                ("2001:218::/32", place("JP", 35.68536, 139.75309, 100)),
                ("203.0.113.0/24", anonymous),
                (
                    "198.51.100.0/24",
                    Data::map([(
                        "registered_country",
                        Data::map([("iso_code", Data::text("US"))]),
                    )]),
                ),
                ("198.51.101.0/24", place("ZZZ", 91.0, f64::NAN, 1)),
            ],
        )
    }

    fn opened(bytes: &[u8]) -> (tempfile::TempDir, Result<MaxMind, String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.mmdb");
        std::fs::write(&path, bytes).unwrap();
        let opened = MaxMind::open(path);
        (dir, opened)
    }

    #[track_caller]
    fn check(source: &MaxMind, ip: &str, expect: Option<(&str, i32, i32, u32)>) {
        let expect = expect.map(|(country, latitude, longitude, accuracy)| GeoAnswer {
            country: Country::new(country),
            point: Some(Point {
                latitude,
                longitude,
            }),
            accuracy,
            anonymous: false,
        });
        assert_eq!(source.look_up(ip.parse().unwrap()), expect, "{ip}");
    }

    #[test]
    fn addresses_are_found_in_whole_numbers() {
        let (_dir, source) = opened(&city());
        let source = source.unwrap();
        assert_eq!(source.kind(), "GeoLite2-City");
        let london = Some(("GB", 51_514_200, -93_100, 10_000));
        check(&source, "81.2.69.0", london);
        check(&source, "81.2.69.255", london);
        check(&source, "81.2.69.0", london);
        check(&source, "::ffff:81.2.69.142", london);
        check(&source, "81.2.70.0", None);
        check(
            &source,
            "89.160.20.112",
            Some(("CH", 47_376_900, 8_541_700, 50_000)),
        );
        check(
            &source,
            "2001:218::1",
            Some(("JP", 35_685_360, 139_753_090, 100_000)),
        );
        check(&source, "2001:219::1", None);
        check(&source, "127.0.0.1", None);
        // Where the address is registered is not where it is; nor is nonsense a place.
        check(&source, "198.51.100.1", None);
        check(&source, "198.51.101.1", None);
        let hidden = source.look_up("203.0.113.7".parse().unwrap()).unwrap();
        assert!(hidden.anonymous && hidden.point.is_none());
        assert_eq!(hidden.country, Country::new("NL"));
    }

    #[test]
    fn countries_and_anonymous_addresses_have_databases_of_their_own() {
        let country = Data::map([("country", Data::map([("iso_code", Data::text("SE"))]))]);
        let (_dir, source) = opened(&file("DBIP-Country-Lite", 4, &[("1.0.0.0/8", country)]));
        let source = source.unwrap();
        let found = source.look_up("1.2.3.4".parse().unwrap()).unwrap();
        assert_eq!((found.country, found.point), (Country::new("SE"), None));
        assert_eq!(source.look_up("2001:218::1".parse().unwrap()), None);
        let tor = Data::map([("is_tor_exit_node", Data::Bool(true))]);
        let (_dir, source) = opened(&file("GeoIP2-Anonymous-IP", 6, &[("1.0.0.0/8", tor)]));
        let found = source.unwrap().look_up("1.2.3.4".parse().unwrap()).unwrap();
        assert_eq!(
            found,
            GeoAnswer {
                anonymous: true,
                ..GeoAnswer::default()
            }
        );
    }

    #[test]
    fn a_point_without_an_accuracy_is_a_coarse_one() {
        let location = Data::map([
            ("latitude", Data::Double(1.0)),
            ("longitude", Data::Double(2.0)),
        ]);
        let record = Data::map([("location", location)]);
        let (_dir, source) = opened(&file("GeoLite2-City", 4, &[("1.0.0.0/8", record)]));
        let found = source.unwrap().look_up("1.2.3.4".parse().unwrap()).unwrap();
        assert_eq!((found.accuracy, found.country), (100_000, None));
    }

    #[test]
    fn a_wrong_file_is_named() {
        #[track_caller]
        fn refused(bytes: &[u8], expect: &str) {
            let (dir, source) = opened(bytes);
            let error = source.unwrap_err();
            let path = dir.path().join("db.mmdb").display().to_string();
            assert!(error.contains(expect) && error.contains(&path), "{error}");
        }
        refused(b"", "MaxMind's format");
        refused(b"PK\x03\x04 GeoLite2-City.zip", "MaxMind's format");
        let asn = Data::map([("autonomous_system_number", Data::Uint32(1))]);
        refused(
            &file("GeoLite2-ASN", 4, &[("1.0.0.0/8", asn)]),
            "`geolite2-asn`",
        );
        // Another vendor's country is a text, not a map.
        let other = Data::map([("country", Data::text("SE"))]);
        refused(
            &file("generic_country", 4, &[("1.0.0.0/8", other)]),
            "none of its records",
        );
        assert!(MaxMind::open("/nowhere/at/all.mmdb").is_err());
        let dir = tempfile::tempdir().unwrap();
        assert!(MaxMind::open(dir.path()).is_err());
    }

    #[test]
    fn a_changed_file_is_taken_up_and_a_broken_one_is_not() {
        let one = |code: &str| {
            let record = Data::map([("country", Data::map([("iso_code", Data::text(code))]))]);
            file("GeoLite2-Country", 4, &[("1.0.0.0/8", record)])
        };
        let (dir, source) = opened(&one("SE"));
        let source = source.unwrap();
        let at = |source: &MaxMind| source.look_up("1.1.1.1".parse().unwrap()).unwrap().country;
        assert_eq!(source.reload(), Ok(false));
        let path = dir.path().join("db.mmdb");
        std::fs::write(&path, b"half a file").unwrap();
        assert!(source.reload().is_err());
        assert_eq!(at(&source), Country::new("SE"));
        let changed = [one("NO"), Vec::new()].concat();
        let put = |bytes: &[u8], seconds: u64| {
            std::fs::write(&path, bytes).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        };
        put(&changed, 1_000);
        assert_eq!(source.reload(), Ok(true));
        assert_eq!(at(&source), Country::new("NO"));
        assert_eq!(source.reload(), Ok(false));
        put(&one("FI"), 2_000);
        assert_eq!(source.reload(), Ok(true));
        assert_eq!(at(&source), Country::new("FI"));
    }

    #[test]
    fn a_corrupt_file_never_panics() {
        let whole = city();
        let ips: Vec<IpAddr> = [
            "81.2.69.1",
            "89.160.20.112",
            "2001:218::1",
            "203.0.113.7",
            "255.255.255.255",
        ]
        .iter()
        .map(|ip| ip.parse().unwrap())
        .collect();
        let stamp = Stamp {
            modified: None,
            length: 0,
        };
        let look = |bytes: Vec<u8>| {
            let Ok(reader) = Reader::from_source(bytes) else {
                return;
            };
            let _ = tells_something(&reader);
            let loaded = ArcSwap::from_pointee(Loaded::new(reader, stamp));
            let source = MaxMind {
                path: PathBuf::new(),
                loaded,
            };
            for ip in &ips {
                let _ = source.look_up(*ip);
            }
        };
        // Every byte of the end, where data and metadata are; of the tree a part of them.
        let careful = whole.len().saturating_sub(2_500);
        for at in (0..careful).step_by(7).chain(careful..whole.len()) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                look(bytes);
            }
        }
        for cut in (0..whole.len()).step_by(11) {
            look(whole[..cut].to_vec());
            look(whole[cut..].to_vec());
        }
    }
}
