//! Where a principal has been: countries and networks, by the days they were seen on.
//!
//! What enters: the place of a decision that was Allow. What leaves: what a place is to the principal.
//! What must hold: bounded; a known place is not pushed out by others as long as those are not known. Nothing
//! is known at the first sight: a country from a day after it was first seen, a network after distinct days.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::config::SignalsConfig;
use super::window::Millis;
use crate::trust::model::{Country, Familiarity};

/// Days since the Unix epoch.
type Day = i32;

const DAY: i64 = 86_400_000;

pub(super) fn day(now: Millis) -> Day {
    Day::try_from(now.div_euclid(DAY)).unwrap_or_default()
}

/// A network: /24 of IPv4, /48 of IPv6. The number has the version in its lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Prefix(u64);

impl Prefix {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits() >> 8) << 1),
            IpAddr::V6(ip) => {
                let high = u64::try_from(ip.to_bits() >> 80).unwrap_or_default();
                Self(high << 1 | 1)
            }
        }
    }

    /// As `192.0.2.0/24`.
    fn shown(self) -> String {
        let bits = self.0 >> 1;
        if self.0 & 1 == 0 {
            let bits = u32::try_from(bits << 8 & 0xffff_ffff).unwrap_or_default();
            format!("{}/24", std::net::Ipv4Addr::from_bits(bits))
        } else {
            format!(
                "{}/48",
                std::net::Ipv6Addr::from_bits(u128::from(bits) << 80)
            )
        }
    }
}

/// A network in a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownNetwork {
    #[serde(rename = "c", with = "code")]
    country: Country,
    #[serde(rename = "p")]
    prefix: Prefix,
    /// The last distinct days, in order, as many as make it known.
    #[serde(rename = "d")]
    days: Vec<Day>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenCountry {
    #[serde(rename = "c", with = "code")]
    country: Country,
    #[serde(rename = "d")]
    last: Day,
    /// When it was first seen; 0 for long ago.
    #[serde(rename = "f", default)]
    first: Millis,
}

mod code {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::trust::model::Country;

    pub(super) fn serialize<S: Serializer>(country: &Country, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(country.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Country, D::Error> {
        let text = String::deserialize(from)?;
        Country::new(&text).ok_or_else(|| de::Error::custom("not a country code"))
    }
}

/// The places of a principal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Places {
    #[serde(rename = "p", default)]
    networks: Vec<KnownNetwork>,
    #[serde(rename = "c", default)]
    countries: Vec<SeenCountry>,
}

impl KnownNetwork {
    fn last(&self) -> Day {
        self.days.last().copied().unwrap_or(Day::MIN)
    }

    fn known(&self, today: Day, config: &SignalsConfig) -> bool {
        let since = since(today, config);
        let within = self.days.iter().filter(|day| **day > since).count();
        within >= usize::from(config.places.days)
    }

    fn add(&mut self, today: Day, most: usize) {
        if let Err(place) = self.days.binary_search(&today) {
            self.days.insert(place, today);
            if self.days.len() > most {
                self.days.remove(0);
            }
        }
    }
}

/// The day after which a day counts.
fn since(today: Day, config: &SignalsConfig) -> Day {
    today.saturating_sub(Day::from(config.places.within_days))
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.countries.is_empty()
    }

    /// What a place is.
    pub(super) fn place(
        &self,
        country: Country,
        ip: Option<IpAddr>,
        now: Millis,
        config: &SignalsConfig,
    ) -> Familiarity {
        let today = day(now);
        let prefix = ip.map(Prefix::of);
        let here = |seen: &&KnownNetwork| Some(seen.prefix) == prefix && seen.country == country;
        if self
            .networks
            .iter()
            .find(here)
            .is_some_and(|seen| seen.known(today, config))
        {
            return Familiarity::Known;
        }
        let since = since(today, config);
        let seen = |seen: &SeenCountry| {
            seen.country == country && seen.last > since && now.saturating_sub(seen.first) >= DAY
        };
        if self.countries.iter().any(seen) {
            Familiarity::KnownCountry
        } else {
            Familiarity::NewCountry
        }
    }

    /// Takes note of a place.
    pub(super) fn add(
        &mut self,
        country: Country,
        ip: Option<IpAddr>,
        now: Millis,
        config: &SignalsConfig,
    ) {
        let today = day(now);
        let most = usize::from(config.bounds.places);
        match self
            .countries
            .iter_mut()
            .find(|seen| seen.country == country)
        {
            Some(seen) => {
                // What was forgotten in between is new again.
                if seen.last <= since(today, config) {
                    seen.first = now;
                }
                seen.last = seen.last.max(today);
            }
            None => {
                if self.countries.len() >= most {
                    // Known ones stay before new ones.
                    remove_least(&mut self.countries, |seen| {
                        (now.saturating_sub(seen.first) >= DAY, seen.last)
                    });
                }
                self.countries.push(SeenCountry {
                    country,
                    last: today,
                    first: now,
                });
            }
        }
        let Some(prefix) = ip.map(Prefix::of) else {
            return;
        };
        let here = |seen: &&mut KnownNetwork| seen.prefix == prefix && seen.country == country;
        let days = usize::from(config.places.days);
        if let Some(seen) = self.networks.iter_mut().find(here) {
            seen.add(today, days);
            return;
        }
        if self.networks.len() >= most {
            remove_least(&mut self.networks, |seen| {
                (seen.known(today, config), seen.last())
            });
        }
        self.networks.push(KnownNetwork {
            country,
            prefix,
            days: vec![today],
        });
    }

    /// Takes out what was not seen for too long.
    pub(super) fn forget(&mut self, now: Millis, config: &SignalsConfig) {
        let since = since(day(now), config);
        self.networks.retain(|seen| seen.last() > since);
        self.countries.retain(|seen| seen.last > since);
    }

    /// For a person.
    pub(super) fn describe(&self, now: Millis, config: &SignalsConfig) -> serde_json::Value {
        let today = day(now);
        let networks = self.networks.iter().map(|seen| {
            serde_json::json!({
                "country": seen.country.as_str(),
                "network": seen.prefix.shown(),
                "known": seen.known(today, config),
                "days": seen.days.iter().map(|day| shown(*day)).collect::<SmallVec<[_; 4]>>().into_vec(),
            })
        });
        let countries = self.countries.iter().map(|seen| {
            serde_json::json!({"country": seen.country.as_str(), "lastDay": shown(seen.last)})
        });
        serde_json::json!({
            "networks": networks.collect::<Vec<_>>(),
            "countries": countries.collect::<Vec<_>>(),
        })
    }
}

fn remove_least<T, K: Ord>(all: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let least = all.iter().enumerate().min_by_key(|(_, one)| key(one));
    if let Some(at) = least.map(|(at, _)| at) {
        all.swap_remove(at);
    }
}

/// As `2026-03-10`.
fn shown(day: Day) -> String {
    let at = crate::base::timestamp::Timestamp::from_millis(i64::from(day) * DAY);
    at.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> Country {
        Country::new(code).unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[track_caller]
    fn check(seen: &[(i64, &str, &str)], ask: (i64, &str, Option<&str>), expect: Familiarity) {
        let config = SignalsConfig::default();
        let mut places = Places::default();
        for (day, code, address) in seen {
            places.add(country(code), ip(address), day * DAY, &config);
        }
        let (day, code, address) = ask;
        let address = address.and_then(ip);
        assert_eq!(
            places.place(country(code), address, day * DAY, &config),
            expect
        );
    }

    #[test]
    fn three_distinct_days_of_ninety_make_a_place_known() {
        let (near, here) = (
            Some("192.0.2.9"),
            ["192.0.2.1", "192.0.2.77", "192.0.2.200"],
        );
        let seen = |a, b, c| [(a, "CH", here[0]), (b, "CH", here[1]), (c, "CH", here[2])];
        check(&seen(1, 2, 3), (3, "CH", near), Familiarity::Known);
        check(&seen(3, 1, 2), (3, "CH", near), Familiarity::Known);
        check(&seen(1, 2, 2), (3, "CH", near), Familiarity::KnownCountry);
        // The first day is one of the last ninety until day 90.
        check(&seen(1, 2, 3), (90, "CH", near), Familiarity::Known);
        check(&seen(1, 2, 3), (91, "CH", near), Familiarity::KnownCountry);
        check(&seen(1, 2, 3), (92, "CH", near), Familiarity::KnownCountry);
        check(&seen(1, 2, 3), (93, "CH", near), Familiarity::NewCountry);
        check(
            &seen(1, 2, 3),
            (3, "CH", Some("192.0.3.9")),
            Familiarity::KnownCountry,
        );
        check(&seen(1, 2, 3), (3, "DE", near), Familiarity::NewCountry);
        check(&seen(1, 1, 1), (1, "CH", near), Familiarity::NewCountry);
        check(&seen(1, 1, 1), (2, "CH", near), Familiarity::KnownCountry);
        check(&seen(1, 2, 3), (3, "CH", None), Familiarity::KnownCountry);
        check(&[], (3, "CH", near), Familiarity::NewCountry);
    }

    #[test]
    fn networks_of_version_six_are_of_48_bits() {
        let seen = [
            (1, "CH", "2001:db8:1::1"),
            (2, "CH", "2001:db8:1:9::1"),
            (3, "CH", "2001:db8:1::2"),
        ];
        check(
            &seen,
            (4, "CH", Some("2001:db8:1:ffff::")),
            Familiarity::Known,
        );
        check(
            &seen,
            (4, "CH", Some("2001:db8:2::")),
            Familiarity::KnownCountry,
        );
        assert_eq!(
            Prefix::of("2001:db8:1:2::3".parse().unwrap()).shown(),
            "2001:db8:1::/48"
        );
        assert_eq!(
            Prefix::of("255.1.2.3".parse().unwrap()).shown(),
            "255.1.2.0/24"
        );
        assert_eq!(
            Prefix::of("::ffff:10.1.2.3".parse().unwrap()).shown(),
            "10.1.2.0/24"
        );
    }

    #[test]
    fn a_flood_of_places_leaves_the_known_one() {
        let config = SignalsConfig::default();
        let mut places = Places::default();
        for day in 1..4 {
            places.add(country("CH"), ip("192.0.2.1"), day * DAY, &config);
        }
        for n in 0..5_000u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(n << 8));
            places.add(country("DE"), Some(address), 5 * DAY, &config);
        }
        assert!(places.networks.len() <= usize::from(config.bounds.places));
        let place = places.place(country("CH"), ip("192.0.2.1"), 5 * DAY, &config);
        assert_eq!(place, Familiarity::Known);
    }
}
