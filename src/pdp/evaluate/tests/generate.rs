//! Random policies, entities and requests: mostly well-typed, often enough not.

use serde_json::{Value as Json, json};

/// A small generator; one seed is one case.
#[derive(Debug, Clone)]
pub(crate) struct Gen {
    state: u64,
    /// One expression in this many is of a type that nobody asked for.
    pub(crate) wild: u64,
    /// Whether scopes are open and conditions of the kinds that an index looks at.
    pub(crate) open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    Bool,
    Long,
    Str,
    Entity,
    SetLong,
    SetStr,
    SetEntity,
    Record,
    Decimal,
    Datetime,
    Duration,
    Ip,
}

const TYPES: [Ty; 12] = [
    Ty::Bool,
    Ty::Long,
    Ty::Str,
    Ty::Entity,
    Ty::SetLong,
    Ty::SetStr,
    Ty::SetEntity,
    Ty::Record,
    Ty::Decimal,
    Ty::Datetime,
    Ty::Duration,
    Ty::Ip,
];

pub(crate) const ENTITY_TYPES: [&str; 5] = ["User", "Group", "Doc", "NS::Folder", "Action"];

fn attr_of(ty: Ty, second: bool) -> &'static str {
    match (ty, second) {
        (Ty::Bool, false) => "b",
        (Ty::Bool, true) => "if",
        (Ty::Long, false) => "n",
        (Ty::Long, true) => "level",
        (Ty::Str, false) => "s",
        (Ty::Str, true) => "odd name",
        (Ty::Entity, false) => "owner",
        (Ty::Entity, true) => "peer",
        (Ty::SetLong, _) => "nums",
        (Ty::SetStr, _) => "labels",
        (Ty::SetEntity, _) => "readers",
        (Ty::Record, false) => "r",
        (Ty::Record, true) => "address",
        (Ty::Decimal, _) => "d",
        (Ty::Datetime, _) => "at",
        (Ty::Duration, _) => "span",
        (Ty::Ip, _) => "ip",
    }
}

const STRINGS: [&str; 8] = [
    "",
    "a",
    "eng",
    "e*g",
    "é",
    "a longer text that does not fit in place",
    "1.5",
    "10.0.0.1",
];
const LONGS: [i64; 9] = [0, 1, -1, 2, 7, 100, i64::MAX, i64::MIN, i64::MAX - 1];
const DECIMALS: [&str; 4] = ["1.5", "-0.0001", "922337203685477.5807", "nope"];
const DATETIMES: [&str; 5] = [
    "2024-01-01",
    "1969-12-31T23:59:59.999Z",
    "2024-02-29T12:00:00+0530",
    "0000-01-01",
    "2024-13-01",
];
const DURATIONS: [&str; 5] = ["1h", "-1d2ms", "9223372036854775807ms", "0s", "1x"];
const IPS: [&str; 6] = [
    "10.0.0.1",
    "10.0.0.0/8",
    "127.0.0.1",
    "::1",
    "ff00::/8",
    "10.0.0.1/33",
];

impl Gen {
    pub(crate) fn new(seed: u64, wild: u64) -> Self {
        let mut g = Self {
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
            wild,
            open: false,
        };
        g.next();
        g.next();
        g
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) % n as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        (self.next() >> 33).is_multiple_of(n)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// Type and id; ids from 6 up are never stored.
    pub(crate) fn uid(&mut self) -> (&'static str, String) {
        let ty = self.pick(&ENTITY_TYPES);
        let id = if ty == "Action" {
            self.pick(&["read", "write", "all"]).to_owned()
        } else {
            format!("{}", self.below(8))
        };
        (ty, id)
    }

    pub(crate) fn uid_text(&mut self) -> String {
        let (ty, id) = self.uid();
        format!("{ty}::\"{id}\"")
    }

    fn attr(&mut self, ty: Ty) -> &'static str {
        let second = self.one_in(2);
        attr_of(ty, second)
    }

    fn access(&mut self, of: &str, ty: Ty) -> String {
        let attr = self.attr(ty);
        if attr.contains(' ') || attr == "if" || self.one_in(6) {
            format!("{of}[\"{attr}\"]")
        } else {
            format!("{of}.{attr}")
        }
    }

    fn variable(&mut self) -> &'static str {
        self.pick(&[
            "principal",
            "resource",
            "context",
            "action",
            "resource",
            "principal",
            "context",
        ])
    }

    pub(crate) fn expr(&mut self, ty: Ty, depth: usize) -> String {
        let ty = if self.one_in(self.wild) {
            self.pick(&TYPES)
        } else {
            ty
        };
        if depth == 0 {
            return self.leaf(ty);
        }
        let d = depth - 1;
        match self.below(14) {
            0 => return self.leaf(ty),
            1 => {
                let (test, then, other) =
                    (self.expr(Ty::Bool, d), self.expr(ty, d), self.expr(ty, d));
                return format!("(if {test} then {then} else {other})");
            }
            2 | 3 => {
                let of = match self.below(5) {
                    0 => self.expr(Ty::Entity, d),
                    1 => self.expr(Ty::Record, d),
                    _ => self.variable().to_owned(),
                };
                return self.access(&of, ty);
            }
            4 => {
                let (of, tag) = (self.expr(Ty::Entity, d), self.tag_key(d));
                return format!("{of}.getTag({tag})");
            }
            _ => {}
        }
        match ty {
            Ty::Bool => self.boolean(d),
            Ty::Long => match self.below(6) {
                0 => format!("(-({}))", self.expr(Ty::Long, d)),
                1 => {
                    let method = self.pick(&[
                        "toMilliseconds",
                        "toSeconds",
                        "toMinutes",
                        "toHours",
                        "toDays",
                    ]);
                    format!("{}.{method}()", self.expr(Ty::Duration, d))
                }
                _ => {
                    let (a, b) = (self.expr(Ty::Long, d), self.expr(Ty::Long, d));
                    format!("({a} {} {b})", self.pick(&["+", "-", "*"]))
                }
            },
            Ty::SetLong | Ty::SetStr | Ty::SetEntity => {
                let of = match ty {
                    Ty::SetLong => Ty::Long,
                    Ty::SetStr => Ty::Str,
                    _ => Ty::Entity,
                };
                let len = self.below(4);
                let items: Vec<String> = (0..len).map(|_| self.expr(of, d)).collect();
                format!("[{}]", items.join(", "))
            }
            Ty::Record => {
                let len = self.below(4);
                let mut names: Vec<&str> = Vec::new();
                let mut fields = Vec::new();
                for _ in 0..len {
                    let ty = self.pick(&TYPES);
                    let name = self.attr(ty);
                    if !names.contains(&name) {
                        names.push(name);
                        fields.push(format!("\"{name}\": {}", self.expr(ty, d)));
                    }
                }
                format!("{{{}}}", fields.join(", "))
            }
            Ty::Datetime => match self.below(3) {
                0 => format!("{}.toDate()", self.expr(Ty::Datetime, d)),
                1 => {
                    let (at, by) = (self.expr(Ty::Datetime, d), self.expr(Ty::Duration, d));
                    format!("{at}.offset({by})")
                }
                _ => self.made("datetime", d),
            },
            Ty::Duration => match self.below(3) {
                0 => format!("{}.toTime()", self.expr(Ty::Datetime, d)),
                1 => {
                    let (at, since) = (self.expr(Ty::Datetime, d), self.expr(Ty::Datetime, d));
                    format!("{at}.durationSince({since})")
                }
                _ => self.made("duration", d),
            },
            Ty::Decimal => self.made("decimal", d),
            Ty::Ip => self.made("ip", d),
            Ty::Str | Ty::Entity => self.leaf(ty),
        }
    }

    fn made(&mut self, function: &str, d: usize) -> String {
        if self.one_in(40) {
            let (a, b) = (self.expr(Ty::Str, d), self.leaf(Ty::Str));
            return format!("{function}({a}, {b})");
        }
        format!(
            "{function}({})",
            if self.one_in(3) {
                self.expr(Ty::Str, d)
            } else {
                self.leaf(Ty::Str)
            }
        )
    }

    fn tag_key(&mut self, d: usize) -> String {
        if self.one_in(3) {
            self.expr(Ty::Str, d)
        } else {
            Self::quoted(self.pick(&["eng", "a", "s", "missing", "owner"]))
        }
    }

    fn boolean(&mut self, d: usize) -> String {
        match self.below(18) {
            0 | 1 => {
                let (a, b) = (self.expr(Ty::Bool, d), self.expr(Ty::Bool, d));
                format!("({a} && {b})")
            }
            2 => {
                let (a, b) = (self.expr(Ty::Bool, d), self.expr(Ty::Bool, d));
                format!("({a} || {b})")
            }
            3 => format!("(!{})", self.expr(Ty::Bool, d)),
            4 | 5 => {
                let ty = self.pick(&TYPES);
                let (a, b) = (self.expr(ty, d), self.expr(ty, d));
                format!("({a} {} {b})", self.pick(&["==", "!="]))
            }
            6 => {
                let ty = self.pick(&[Ty::Long, Ty::Long, Ty::Datetime, Ty::Duration]);
                let (a, b) = (self.expr(ty, d), self.expr(ty, d));
                format!("({a} {} {b})", self.pick(&["<", "<=", ">", ">="]))
            }
            7 => {
                let ty = self.pick(&[Ty::Entity, Ty::SetEntity]);
                let (a, b) = (self.expr(Ty::Entity, d), self.expr(ty, d));
                format!("({a} in {b})")
            }
            8 => {
                let (set, of) = self.pick(&[
                    (Ty::SetLong, Ty::Long),
                    (Ty::SetStr, Ty::Str),
                    (Ty::SetEntity, Ty::Entity),
                ]);
                let (a, b) = (self.expr(set, d), self.expr(of, d));
                format!("{a}.contains({b})")
            }
            9 => {
                let set = self.pick(&[Ty::SetLong, Ty::SetStr, Ty::SetEntity]);
                let (a, b) = (self.expr(set, d), self.expr(set, d));
                format!("{a}.{}({b})", self.pick(&["containsAll", "containsAny"]))
            }
            10 => {
                let set = self.pick(&[Ty::SetLong, Ty::SetStr, Ty::SetEntity]);
                format!("{}.isEmpty()", self.expr(set, d))
            }
            11 => {
                let (of, tag) = (self.expr(Ty::Entity, d), self.tag_key(d));
                format!("{of}.hasTag({tag})")
            }
            12 | 13 => self.has(d),
            14 => format!(
                "({} like {})",
                self.expr(Ty::Str, d),
                Self::quoted(self.pick(&[
                    "*",
                    "e*",
                    "*g",
                    "e\\*g",
                    "",
                    "a*b*c",
                    "é*",
                    "*long*fit*"
                ]))
                .replace("\\\\*", "\\*")
            ),
            15 => {
                let of = self.expr(Ty::Entity, d);
                let ty = self.pick(&ENTITY_TYPES);
                if self.one_in(2) {
                    format!("({of} is {ty})")
                } else {
                    format!("({of} is {ty} in {})", self.expr(Ty::Entity, d))
                }
            }
            16 => match self.below(3) {
                0 => {
                    let (a, b) = (self.expr(Ty::Ip, d), self.expr(Ty::Ip, d));
                    format!("{a}.isInRange({b})")
                }
                1 => format!(
                    "{}.{}()",
                    self.expr(Ty::Ip, d),
                    self.pick(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"])
                ),
                _ => {
                    let (a, b) = (self.expr(Ty::Decimal, d), self.expr(Ty::Decimal, d));
                    format!(
                        "{a}.{}({b})",
                        self.pick(&[
                            "lessThan",
                            "lessThanOrEqual",
                            "greaterThan",
                            "greaterThanOrEqual"
                        ])
                    )
                }
            },
            _ => self.leaf(Ty::Bool),
        }
    }

    fn has(&mut self, d: usize) -> String {
        let of = match self.below(4) {
            0 => self.expr(Ty::Entity, d),
            1 => self.expr(Ty::Record, d),
            _ => self.variable().to_owned(),
        };
        let ty = self.pick(&TYPES);
        if self.one_in(3) {
            let path: Vec<&str> = (0..2 + self.below(2))
                .map(|_| self.pick(&["owner", "r", "address", "peer", "n", "s"]))
                .collect();
            return format!("({of} has {})", path.join("."));
        }
        format!("({of} has \"{}\")", self.attr(ty))
    }

    fn leaf(&mut self, ty: Ty) -> String {
        match ty {
            Ty::Bool => match self.below(4) {
                0 => "true".to_owned(),
                1 => "false".to_owned(),
                _ => {
                    let of = self.variable();
                    self.access(of, ty)
                }
            },
            Ty::Long => match self.below(3) {
                0 => {
                    let of = self.variable();
                    self.access(of, ty)
                }
                _ => self.pick(&LONGS).to_string(),
            },
            Ty::Str => match self.below(3) {
                0 => {
                    let of = self.variable();
                    self.access(of, ty)
                }
                1 => Self::quoted(self.pick(&STRINGS)),
                _ => Self::quoted(match self.below(4) {
                    0 => self.pick(&DECIMALS),
                    1 => self.pick(&DATETIMES),
                    2 => self.pick(&DURATIONS),
                    _ => self.pick(&IPS),
                }),
            },
            Ty::Entity => match self.below(5) {
                0 => self.uid_text(),
                1 => {
                    let of = self.variable();
                    self.access(of, ty)
                }
                _ => self.pick(&["principal", "resource", "action"]).to_owned(),
            },
            Ty::Decimal => format!("decimal({})", Self::quoted(self.pick(&DECIMALS))),
            Ty::Datetime => format!("datetime({})", Self::quoted(self.pick(&DATETIMES))),
            Ty::Duration => format!("duration({})", Self::quoted(self.pick(&DURATIONS))),
            Ty::Ip => format!("ip({})", Self::quoted(self.pick(&IPS))),
            Ty::SetLong => match self.below(3) {
                0 => "[1, 2, 2]".to_owned(),
                1 => format!(
                    "[{}]",
                    (0..30)
                        .map(|n| n.to_string())
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                _ => {
                    let of = self.variable();
                    self.access(of, ty)
                }
            },
            Ty::SetStr => match self.below(3) {
                0 => "[\"eng\", \"a\"]".to_owned(),
                _ => {
                    let of = self.variable();
                    self.access(of, ty)
                }
            },
            Ty::SetEntity => match self.below(3) {
                0 => {
                    let (a, b) = (self.uid_text(), self.uid_text());
                    format!("[{a}, {b}]")
                }
                1 => "[principal, resource]".to_owned(),
                _ => {
                    let of = self.variable();
                    self.access(of, ty)
                }
            },
            Ty::Record => match self.below(3) {
                0 => "context".to_owned(),
                1 => "{\"n\": 1, \"s\": \"eng\"}".to_owned(),
                _ => {
                    let of = self.variable();
                    self.access(of, ty)
                }
            },
        }
    }

    /// A condition whose first conjuncts are of the kinds an index may look at.
    fn bounded_condition(&mut self, depth: usize) -> String {
        let bound = |g: &mut Self| {
            let of = if g.open {
                g.pick(&["resource", "resource", "context"])
            } else {
                g.pick(&["resource", "context", "principal"])
            };
            match g.below(12) {
                0 => format!("{of}.owner == principal"),
                1 => format!("principal in {of}.readers"),
                2 => format!("{of}.s == \"eng\""),
                3 => format!("{of}.s == \"a\""),
                4 => format!("{} == {of}.n", g.pick(&[0, 1, 7])),
                5 => format!("{of}.labels.contains(\"{}\")", g.pick(&["eng", "a", "zz"])),
                6 => format!("[\"eng\", \"a\"].contains({of}.s)"),
                7 => format!("{of} has s && {of}.s == \"eng\""),
                8 => format!("principal in {}", g.uid_text()),
                9 => format!("resource == {}", g.uid_text()),
                10 => format!("{of}.r.n == {}", g.pick(&[0, 1, 7])),
                _ => format!("{of}.b"),
            }
        };
        let mut parts: Vec<String> = (0..1 + self.below(3)).map(|_| bound(self)).collect();
        if self.one_in(2) {
            parts.push(self.expr(Ty::Bool, depth));
        }
        parts.join(" && ")
    }

    pub(crate) fn conditions(&mut self, depth: usize) -> String {
        if self.open && !self.one_in(4) {
            return format!(" when {{ {} }}", self.bounded_condition(1));
        }
        let count = self.below(3);
        (0..count)
            .map(|_| {
                let kind = if self.one_in(3) { "unless" } else { "when" };
                let body = if self.one_in(3) {
                    self.bounded_condition(depth)
                } else {
                    self.expr(Ty::Bool, depth)
                };
                format!(" {kind} {{ {body} }}")
            })
            .collect()
    }

    fn scope(&mut self, var: &str, slot: bool) -> String {
        let target = if slot {
            format!("?{var}")
        } else {
            self.uid_text()
        };
        let ty = self.pick(&ENTITY_TYPES);
        if self.open && !slot && !self.one_in(8) {
            return var.to_owned();
        }
        match (self.below(7), slot) {
            (0, _) => format!("{var} == {target}"),
            (1, _) => format!("{var} in {target}"),
            (2, _) => format!("{var} is {ty} in {target}"),
            (3, false) => format!("{var} is {ty}"),
            (_, true) => format!("{var} in {target}"),
            _ => var.to_owned(),
        }
    }

    fn action_scope(&mut self) -> String {
        let action = |g: &mut Self| {
            if g.one_in(8) {
                g.uid_text()
            } else {
                format!("Action::\"{}\"", g.pick(&["read", "write", "all"]))
            }
        };
        if self.open && !self.one_in(5) {
            return "action".to_owned();
        }
        match self.below(5) {
            0 => format!(
                "action == Action::\"{}\"",
                self.pick(&["read", "write", "all"])
            ),
            1 => {
                format!("action in {}", action(self)).replace("action in User", "action in Action")
            }
            2 => {
                let count = self.below(4);
                let list: Vec<String> = (0..count)
                    .map(|_| {
                        format!(
                            "Action::\"{}\"",
                            self.pick(&["read", "write", "all", "none"])
                        )
                    })
                    .collect();
                format!("action in [{}]", list.join(", "))
            }
            _ => "action".to_owned(),
        }
    }

    /// One policy, or one template with at least one slot.
    pub(crate) fn policy(&mut self, template: bool, depth: usize) -> String {
        let effect = if self.one_in(3) { "forbid" } else { "permit" };
        let (p, r) = if template {
            self.pick(&[(true, true), (true, false), (false, true)])
        } else {
            (false, false)
        };
        let (principal, action, resource) = (
            self.scope("principal", p),
            self.action_scope(),
            self.scope("resource", r),
        );
        format!(
            "{effect}({principal}, {action}, {resource}){};",
            self.conditions(depth)
        )
    }

    fn extn(&mut self, function: &str, texts: &[&str]) -> Json {
        // The last text of each list is one that its function refuses.
        json!({"__extn": {"fn": function, "arg": texts[self.below(texts.len() - 1)]}})
    }

    pub(crate) fn json(&mut self, ty: Ty, depth: usize) -> Json {
        let ty = if self.one_in(self.wild) {
            self.pick(&TYPES)
        } else {
            ty
        };
        match ty {
            Ty::Bool => json!(self.one_in(2)),
            Ty::Long => json!(self.pick(&LONGS)),
            Ty::Str => json!(self.pick(&STRINGS)),
            Ty::Entity => {
                let (ty, id) = self.uid();
                json!({"__entity": {"type": ty, "id": id}})
            }
            Ty::SetLong => self.json_set(Ty::Long),
            Ty::SetStr => self.json_set(Ty::Str),
            Ty::SetEntity => self.json_set(Ty::Entity),
            Ty::Record if depth == 0 => json!({}),
            Ty::Record => self.json_record(depth - 1),
            Ty::Decimal => self.extn("decimal", &DECIMALS),
            Ty::Datetime => self.extn("datetime", &DATETIMES),
            Ty::Duration => self.extn("duration", &DURATIONS),
            Ty::Ip => self.extn("ip", &IPS),
        }
    }

    fn json_set(&mut self, of: Ty) -> Json {
        let count = if self.one_in(6) { 20 } else { self.below(4) };
        Json::Array((0..count).map(|_| self.json(of, 1)).collect())
    }

    pub(crate) fn json_record(&mut self, depth: usize) -> Json {
        let mut fields = serde_json::Map::new();
        for ty in TYPES {
            for second in [false, true] {
                if self.below(10) < 6 {
                    let value = self.json(ty, depth);
                    fields.insert(attr_of(ty, second).to_owned(), value);
                }
            }
        }
        Json::Object(fields)
    }

    /// Entities without cycles, some of them missing.
    pub(crate) fn entities(&mut self) -> Vec<Json> {
        let mut uids: Vec<(&str, String)> = Vec::new();
        for ty in ENTITY_TYPES {
            let ids: Vec<String> = if ty == "Action" {
                ["read", "write", "all"].map(str::to_owned).to_vec()
            } else {
                (0..6).map(|n| n.to_string()).collect()
            };
            uids.extend(ids.into_iter().map(|id| (ty, id)));
        }
        let mut made = Vec::new();
        for (at, (ty, id)) in uids.iter().enumerate() {
            if self.one_in(6) {
                continue;
            }
            let count = self.below(3);
            let parents: Vec<Json> = (0..count)
                .filter_map(|_| {
                    let above = at + 1 + self.below(8);
                    uids.get(above)
                        .map(|(ty, id)| json!({"type": ty, "id": id}))
                })
                .collect();
            let attrs = self.json_record(2);
            let mut tags = serde_json::Map::new();
            for key in ["eng", "a", "s"] {
                if self.one_in(2) {
                    let of = self.pick(&TYPES);
                    tags.insert(key.to_owned(), self.json(of, 1));
                }
            }
            made.push(json!({"uid": {"type": ty, "id": id}, "attrs": attrs, "parents": parents, "tags": tags}));
        }
        made
    }
}
