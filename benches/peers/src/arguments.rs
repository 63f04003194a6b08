//! The command line.

use crate::given::Result;

pub const USAGE: &str = "\
usage: deodar-peers [--policies N,N,..] [--requests N] [--seconds N] [--only NAME,NAME,..]
  --policies  sizes to measure, one after the other (10,1000,10000)
  --requests  distinct requests of a size (10000)
  --seconds   time for each peer and size, once for checking and once for timing (4)
  --only      peers to measure; cedar-policy always is";

pub struct Arguments {
    pub policies: Vec<usize>,
    pub requests: usize,
    pub seconds: f64,
    pub only: Option<Vec<String>>,
}

impl Arguments {
    pub fn read(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            policies: vec![10, 1_000, 10_000],
            requests: 10_000,
            seconds: 4.0,
            only: None,
        };
        while let Some(flag) = given.next() {
            let value = given
                .next()
                .ok_or_else(|| format!("`{flag}` has no value\n{USAGE}"))?;
            let list = || value.split(',').map(str::trim);
            match flag.as_str() {
                "--policies" => {
                    arguments.policies = list()
                        .map(str::parse)
                        .collect::<std::result::Result<_, _>>()?
                }
                "--requests" => arguments.requests = value.parse()?,
                "--seconds" => arguments.seconds = value.parse()?,
                "--only" => arguments.only = Some(list().map(str::to_owned).collect()),
                _ => return Err(format!("unknown flag `{flag}`\n{USAGE}").into()),
            }
        }
        let sensible =
            arguments.requests > 0 && arguments.seconds > 0.0 && arguments.seconds.is_finite();
        if sensible {
            Ok(arguments)
        } else {
            Err(format!("numbers must be above zero\n{USAGE}").into())
        }
    }

    pub fn wants(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|names| names.iter().any(|wanted| wanted == name))
    }
}
