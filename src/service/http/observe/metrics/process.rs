//! The process: memory, open files, processor time. What the system does not tell is left out.

use std::time::{SystemTime, UNIX_EPOCH};

use super::page::{Page, figures};

/// Reads figures of the process when it is asked for them.
#[derive(Debug)]
pub(super) struct Process {
    /// Seconds since 1970.
    started: f64,
}

impl Process {
    /// Called early in the life of the process.
    pub(super) fn new() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started: started.map_or(0.0, |time| time.as_secs_f64()),
        }
    }

    pub(super) fn write(&self, page: &mut Page<'_>) {
        figures! { page;
            gauge "process_start_time_seconds" "When the server started, in seconds since 1970" = self.started;
            known "process_resident_memory_bytes" "Memory of the process that is in RAM" = linux::resident_bytes();
            known "process_open_fds" "Open file descriptors, connections among them" = linux::open_files();
            known "process_max_fds" "Most file descriptors that may be open" = linux::most_files();
            known "process_threads" "Threads of the process" = linux::threads();
        }
    }
}

/// The most files that the process may open, where the system says.
pub(crate) fn most_files() -> Option<u64> {
    linux::most_files()
}

/// From `/proc/self`; elsewhere there is none, and nothing is said.
mod linux {
    use std::fs;

    pub(super) fn resident_bytes() -> Option<u64> {
        Some(status("VmRSS:")? * 1024)
    }

    pub(super) fn threads() -> Option<u64> {
        status("Threads:")
    }

    pub(super) fn open_files() -> Option<u64> {
        let files = fs::read_dir("/proc/self/fd").ok()?.count();
        // One of them is this look.
        u64::try_from(files).ok()?.checked_sub(1)
    }

    pub(super) fn most_files() -> Option<u64> {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits
            .lines()
            .find_map(|l| l.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn status(name: &str) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux;

    #[test]
    fn linux_tells() {
        assert!(linux::resident_bytes().unwrap() > 1 << 20);
        assert!(linux::threads().unwrap() >= 1);
        assert!(linux::open_files().unwrap() >= 3);
        assert!(linux::most_files().unwrap() >= linux::open_files().unwrap());
    }
}
