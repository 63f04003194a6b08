//! HTTP over a Unix-domain socket, for commands that ask the server of this machine.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Connects to a socket, whatever the address.
#[derive(Debug)]
pub(super) struct Socket(pub(super) PathBuf);

/// The path, if somebody listens there.
pub(super) fn listening(path: &Path) -> Option<PathBuf> {
    UnixStream::connect(path).ok().map(|_| path.to_owned())
}

impl<In: Transport> Connector<In> for Socket {
    type Out = Stream;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<Stream>, ureq::Error> {
        let stream = UnixStream::connect(&self.0)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Stream { stream, buffers }))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    stream: UnixStream,
    buffers: LazyBuffers,
}

fn timed(timeout: NextTimeout, done: io::Result<usize>) -> Result<usize, ureq::Error> {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    })
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream
            .set_write_timeout(timeout.not_zero().map(|time| *time))?;
        let output = self.buffers.output().get(..amount);
        let output = output.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let done = self.stream.write_all(output).map(|()| amount);
        timed(timeout, done).map(|_| ())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream
            .set_read_timeout(timeout.not_zero().map(|time| *time))?;
        let done = self.stream.read(self.buffers.input_append_buf());
        let amount = timed(timeout, done)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        true
    }
}
