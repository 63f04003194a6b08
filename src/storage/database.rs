//! The thread that owns the database, and handles that give it work.
//!
//! What waits when a write begins is committed with it in one transaction (group commit), so that many
//! writers share the two syncs of a commit. A write is answered after the commit. After an error the
//! database is closed and opened again before the next write, so that a full disk is over once there is
//! room. A database that turns out to be damaged stays closed until the process ends.

use std::fs::{File, OpenOptions};
#[cfg(feature = "server")]
use std::sync::mpsc::TrySendError;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use redb::backends::FileBackend;
use redb::{Builder, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::dir::{DATABASE_FILE, StateDirectory};
use super::error::{Kind, StateDirError};
use super::guard::guarded;
use crate::base::lock::lock;

/// Writes that may wait; a further one waits for its place.
const QUEUE: usize = 1_024;
/// Writes that are committed together.
const TOGETHER: usize = 256;
/// Memory for pages of the database; little is ever read again.
pub(super) const CACHE: usize = 32 << 20;

type Refused = Result<(), StateDirError>;

/// A piece of work within a transaction, and whoever waits for it.
trait Write: Send {
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error>;
    fn done(self: Box<Self>, end: Refused);
}

enum Order {
    Write(Box<dyn Write>),
    Read(Box<dyn FnOnce(&mut Keeper) + Send>),
    Stop,
}

/// The database and its thread, which ends with this value.
#[derive(Debug)]
pub(super) struct Database {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Gives work to the thread.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    orders: SyncSender<Order>,
    place: StateDirectory,
    /// Why the last write failed; `None` once one has succeeded.
    trouble: Arc<Mutex<Option<String>>>,
}

/// The database file, which must be there, and be a file that is not empty.
pub(super) fn file(place: &StateDirectory, write: bool) -> Result<File, StateDirError> {
    let damaged = |what: &str| place.fail(Kind::Damaged, format!("`{DATABASE_FILE}` {what}"));
    let path = place.file(DATABASE_FILE);
    match std::fs::metadata(&path) {
        Ok(meta) if !meta.is_file() => return Err(damaged("is not a file")),
        Ok(meta) if meta.len() == 0 => return Err(damaged("is empty")),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged("is missing"));
        }
        Err(error) => return Err(place.io(&format!("`{DATABASE_FILE}` cannot be read"), &error)),
    }
    let file = OpenOptions::new().read(true).write(write).open(&path);
    file.map_err(|error| place.io(&format!("`{DATABASE_FILE}` cannot be opened"), &error))
}

/// Opens the database file, which must be there.
pub(super) fn open(place: &StateDirectory) -> Result<redb::Database, StateDirError> {
    let file = file(place, true)?;
    let backend = FileBackend::new(file).map_err(|error| place.database(&error.into()))?;
    with_backend(place, backend)
}

/// Opens or makes a database.
pub(super) fn with_backend(
    place: &StateDirectory,
    backend: impl redb::StorageBackend,
) -> Result<redb::Database, StateDirError> {
    let opened = Builder::new()
        .set_cache_size(CACHE)
        .create_with_backend(backend);
    opened.map_err(|error| place.database(&error.into()))
}

/// Begins a transaction whose commit waits for the disk. Values are the callers' own, so the commit has
/// two phases, and opening after a crash takes no walk through the file.
pub(super) fn begin(database: &redb::Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

impl Database {
    /// Opens by `open`, now and after every error.
    pub(super) fn start(
        place: StateDirectory,
        open: impl Fn() -> Result<redb::Database, StateDirError> + Send + 'static,
    ) -> Result<Self, StateDirError> {
        let database = guarded(&place, &open)?;
        let (orders, queue) = sync_channel(QUEUE);
        let trouble: Arc<Mutex<Option<String>>> = Arc::default();
        let mut keeper = Keeper {
            place: place.clone(),
            trouble: Arc::clone(&trouble),
            open: Box::new(open),
            database: Some(database),
            damage: None,
        };
        let thread = std::thread::Builder::new()
            .name("deodar-state".to_owned())
            .spawn(move || {
                keeper.run(&queue);
                keeper.close();
            })
            .map_err(|error| place.io("no thread to write with", &error))?;
        Ok(Self {
            handle: Handle {
                orders,
                place,
                trouble,
            },
            thread: Some(thread),
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What was ordered before is still done. It fails only when the thread is gone already.
        let _ = self.handle.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Handle {
    #[cfg(feature = "server")]
    pub(super) fn place(&self) -> &StateDirectory {
        &self.place
    }

    /// Why the last write failed, if it did.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Runs `work` in a transaction, and returns once that is on disk. Either all of it is, or nothing.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StateDirError> {
        let (answer, answered) = sync_channel(1);
        self.give(Order::Write(Box::new(Writing {
            work: Some(work),
            made: None,
            answer: Some(answer),
        })))?;
        answered.recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// As [`Handle::write`] for what may be lost: nobody waits, and a full queue drops it.
    #[cfg(feature = "server")]
    pub(super) fn write_some_time(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error> + Send + 'static,
    ) {
        let order = Order::Write(Box::new(Writing {
            work: Some(work),
            made: None,
            answer: None,
        }));
        if let Err(TrySendError::Disconnected(_)) = self.orders.try_send(order) {
            tracing::debug!("the state directory is closed");
        }
    }

    /// Reads what every acknowledged write has left.
    pub(super) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StateDirError> {
        self.on_thread(move |keeper| {
            let read = keeper.with(|database| work(&database.begin_read()?));
            if let Err(error) = &read
                && error.is_damage()
            {
                keeper.tell(Some(error));
            }
            read
        })?
    }

    fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, StateDirError> {
        let (answer, answered) = sync_channel(1);
        self.give(Order::Read(Box::new(move |keeper| {
            // Fails only when nobody waits any more.
            let _ = answer.send(work(keeper));
        })))?;
        answered.recv().map_err(|_| self.ended())
    }

    fn give(&self, order: Order) -> Result<(), StateDirError> {
        self.orders.send(order).map_err(|_| self.ended())
    }

    fn ended(&self) -> StateDirError {
        let message = "the thread that owns the database has ended; restart";
        self.place.fail(Kind::Io, message)
    }
}

struct Writing<F, T> {
    work: Option<F>,
    made: Option<T>,
    answer: Option<SyncSender<Result<T, StateDirError>>>,
}

impl<F, T: Send> Write for Writing<F, T>
where
    F: FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        if let Some(work) = self.work.take() {
            self.made = Some(work(transaction)?);
        }
        Ok(())
    }

    fn done(self: Box<Self>, end: Refused) {
        let Self { made, answer, .. } = *self;
        if let (Err(error), None) = (&end, &answer) {
            tracing::warn!(%error, "not written");
        }
        // INVARIANT: work that ran to an end has made something.
        let made = end.map(|()| made);
        if let (Some(answer), Some(made)) = (answer, made.transpose()) {
            // Fails only when nobody waits any more.
            let _ = answer.send(made);
        }
    }
}

/// What the thread has.
struct Keeper {
    place: StateDirectory,
    trouble: Arc<Mutex<Option<String>>>,
    open: Box<dyn Fn() -> Result<redb::Database, StateDirError> + Send>,
    /// `None` after an error, until the next order.
    database: Option<redb::Database>,
    /// What is wrong with the file; it is not used any more then.
    damage: Option<StateDirError>,
}

impl Keeper {
    fn run(&mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let mut writes = Vec::new();
            let mut next = Some(first);
            while let Some(order) = next.take() {
                match order {
                    Order::Write(write) => writes.push(write),
                    Order::Read(work) => {
                        self.commit(std::mem::take(&mut writes));
                        work(self);
                    }
                    Order::Stop => return self.commit(writes),
                }
                if writes.len() < TOGETHER {
                    next = orders.try_recv().ok();
                }
            }
            self.commit(writes);
        }
    }

    fn commit(&mut self, mut writes: Vec<Box<dyn Write>>) {
        if writes.is_empty() {
            return;
        }
        let end = self.with(|database| {
            let transaction = begin(database)?;
            for write in &mut writes {
                write.run(&transaction)?;
            }
            transaction.commit()?;
            Ok(())
        });
        self.tell(end.as_ref().err());
        if let Err(error) = &end {
            tracing::error!(%error, "nothing was written");
            self.close();
        }
        for write in writes {
            write.done(end.clone());
        }
    }

    /// Why writing fails, for readiness.
    fn tell(&self, error: Option<&StateDirError>) {
        let trouble = error.map(ToString::to_string);
        *lock(&self.trouble) = trouble;
    }

    /// Runs `work` on the database. Every use of the database passes here: damage is noted, and ends it.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&redb::Database) -> Result<T, redb::Error>,
    ) -> Result<T, StateDirError> {
        if let Some(damage) = &self.damage {
            return Err(damage.clone());
        }
        let place = self.place.clone();
        let end = guarded(&place, || {
            work(self.database()?).map_err(|error| place.database(&error))
        });
        if let Err(error) = &end
            && error.is_damage()
        {
            tracing::error!(%error, "the state directory is not used any more");
            self.damage = Some(error.clone());
            self.close();
        }
        end
    }

    fn database(&mut self) -> Result<&redb::Database, StateDirError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        Ok(self.database.insert(database))
    }

    /// Closes the database, which may find that it is damaged.
    fn close(&mut self) {
        let database = self.database.take();
        let closed = guarded(&self.place, || {
            drop(database);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::error!(%error, "not closed");
        }
    }
}
