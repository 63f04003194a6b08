//! Reads of the sources on a thread that can be left behind.
//!
//! A read from a file system that is gone blocks in the kernel, and nothing can interrupt it. Whoever
//! waits for one gives up once nothing has moved for a while; the thread stays behind and ends on its own
//! when the file system answers. Only so many may be left behind.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::base::fault::{Fault, Faults};
use crate::base::lock::lock;
use crate::source::progress::Progress;

/// A read that has not moved for this long is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A read that takes longer than this is named by the readiness probe.
const SLOW: Duration = Duration::from_secs(5);
/// Threads that may be left behind.
const MOST_LEFT: usize = 4;

/// The reads that are under way, those that were given up among them.
#[derive(Debug)]
pub(super) struct Reading {
    running: Mutex<Vec<Arc<Progress>>>,
    patience: Duration,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            patience: PATIENCE,
        }
    }
}

/// The code of the fault that says that a read was given up.
pub(super) const HANGS: &str = "read_hangs";

impl Reading {
    /// Does this work on a thread of its own and waits for it as long as it moves.
    ///
    /// # Errors
    /// With the code [`HANGS`] when it stands still, or when too many others do.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Progress) -> T + Send + 'static,
    ) -> Result<T, Faults> {
        let progress = Arc::new(Progress::default());
        {
            let mut running = self.running();
            if running.len() >= MOST_LEFT {
                let stuck = running.first().map(|stuck| stuck.stands_still());
                return Err(hangs(stuck.unwrap_or_default(), ", as do others before it"));
            }
            running.push(Arc::clone(&progress));
        }
        let (sender, done) = channel();
        let work = Mutex::new(Some(work));
        let work = Arc::new(work);
        let theirs = (Arc::clone(&work), Ended(Arc::clone(&progress)));
        let spawned = std::thread::Builder::new()
            .name("deodar-read".to_owned())
            .spawn(move || {
                let (work, ended) = theirs;
                if let Some(work) = take(&work) {
                    // Nobody is left to hear of it once it was given up.
                    let _ = sender.send(work(&ended.0));
                }
            });
        if spawned.is_err() {
            // Where no thread is to be had it is done here.
            let done = take(&work).map(|work| work(&progress));
            self.forget(&progress);
            return done.ok_or_else(|| Fault::new("io", "no thread to read on").into());
        }
        let waited = loop {
            match done.recv_timeout(self.patience.min(Duration::from_millis(250))) {
                Ok(done) => break Ok(done),
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(Fault::new("internal", "reading the sources panicked").into());
                }
                Err(RecvTimeoutError::Timeout) => {
                    let stuck = progress.stands_still();
                    if stuck.0 >= self.patience {
                        return Err(hangs(stuck, ""));
                    }
                }
            }
        };
        self.forget(&progress);
        waited
    }

    /// What to report about reads that take long.
    pub(super) fn trouble(&self) -> Option<String> {
        let running = self.running();
        let oldest = running.iter().max_by_key(|read| read.age())?;
        let (still, path) = oldest.stands_still();
        (oldest.age() >= SLOW).then(|| {
            format!(
                "reading the sources has taken {} s and is at `{}`, for {} s; {} of at most {MOST_LEFT} reads \
                 are under way",
                oldest.age().as_secs(),
                path.display(),
                still.as_secs(),
                running.len(),
            )
        })
    }

    fn forget(&self, progress: &Arc<Progress>) {
        self.running().retain(|other| !Arc::ptr_eq(other, progress));
    }

    /// Those under way; what ended after it was given up is forgotten.
    fn running(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        let mut running = lock(&self.running);
        running.retain(|read| !read.has_ended());
        running
    }
}

/// Says that the thread has ended, however it ends.
struct Ended(Arc<Progress>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn take<T>(work: &Mutex<Option<T>>) -> Option<T> {
    lock(work).take()
}

fn hangs((age, path): (Duration, PathBuf), more: &str) -> Faults {
    let message = format!(
        "reading has stood still for {} s and was given up{more}",
        age.as_secs()
    );
    let fault = Fault::new(HANGS, message).in_file(path.display().to_string());
    fault
        .help("check the file system; the sources are read again at the next poll")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Instant;

    fn reading() -> Reading {
        Reading {
            patience: Duration::from_millis(50),
            ..Reading::default()
        }
    }

    #[test]
    fn a_read_that_moves_is_waited_for() {
        let reading = reading();
        let done = reading.run(|progress| {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(10));
                progress.moved();
            }
            7
        });
        assert_eq!(done.unwrap(), 7);
        assert_eq!(reading.running().len(), 0);
        assert_eq!(reading.trouble(), None);
    }

    #[test]
    fn reads_that_stand_still_are_given_up_named_bounded_and_forgotten_when_they_end() {
        let reading = reading();
        let (release, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..MOST_LEFT {
            let gate = Arc::clone(&gate);
            let done = reading.run(move |progress| {
                progress.at(Path::new("/mnt/gone"));
                let _ = gate.lock().unwrap().recv();
            });
            let faults = done.unwrap_err();
            assert!(faults.iter().all(|fault| fault.code() == HANGS));
            assert!(faults.to_string().contains("/mnt/gone"), "{faults}");
        }
        let began = Instant::now();
        assert!(
            reading
                .run(|_| ())
                .unwrap_err()
                .to_string()
                .contains("others")
        );
        assert!(began.elapsed() < Duration::from_millis(50));
        drop(release);
        let latest = Instant::now() + Duration::from_secs(5);
        while !reading.running().is_empty() {
            assert!(Instant::now() < latest, "not forgotten");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(reading.run(|_| ()).is_ok());
    }

    #[test]
    fn a_read_that_panics_is_a_fault() {
        let reading = Reading::default();
        let done = reading.run(|_| -> () { panic!("for this test") });
        assert!(done.unwrap_err().to_string().contains("panicked"));
        assert_eq!(reading.running().len(), 0);
    }
}
