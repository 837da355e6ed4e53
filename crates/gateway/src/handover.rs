//! How a gateway gets what it works with: settings, and descriptors from inside of a run's network.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::frame::{self, HEADER_BYTES, ProtocolError};
use crate::{Ends, Report, Settings};

/// Most descriptors of [`Ends`].
const ENDS_MAX: usize = 4;

/// How long a gateway may take to read its settings before its supervisor gives it up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first frame. The descriptors come with it, in the order of the fields of [`Ends`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start<S> {
    settings: S,
    connections_6: bool,
    refused: bool,
}

/// Gives a gateway its settings and its descriptors. They are closed here, whatever comes of it.
///
/// Blocks until all is written.
///
/// # Errors
/// The gateway is gone or does not read, or the settings do not fit into a frame.
pub fn hand_over(stream: &UnixStream, settings: &Settings, ends: Ends) -> Result<(), ProtocolError> {
    let start =
        Start { settings, connections_6: ends.connections_6.is_some(), refused: ends.refused.is_some() };
    let frame = frame::to_frame(&start)?;
    let given = ends.descriptors();
    let failed = "give a gateway its settings";
    stream.set_write_timeout(Some(PATIENCE)).map_err(ProtocolError::io(failed))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ENDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&given)) {
        return Err(ProtocolError::Descriptors);
    }
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(stream, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)
    });
    let sent = sent.map_err(io::Error::from).map_err(ProtocolError::io(failed))?;
    let mut writer = stream;
    writer.write_all(&frame[sent..]).map_err(ProtocolError::io(failed))
}

/// Takes what [`hand_over`] gave.
///
/// Blocks until all is there.
///
/// # Errors
/// The supervisor is gone, or what came is not what belongs here.
pub fn receive(stream: &UnixStream) -> Result<(Settings, Ends), ProtocolError> {
    let failed = "receive the settings";
    let mut header = [0; HEADER_BYTES];
    let (read, given) = receive_header(stream, &mut header)?;
    let mut reader = stream;
    reader.read_exact(&mut header[read..]).map_err(ProtocolError::io(failed))?;
    let mut body = vec![0; frame::body_length(header)?];
    reader.read_exact(&mut body).map_err(ProtocolError::io(failed))?;
    let start: Start<Settings> = serde_json::from_slice(&body).map_err(ProtocolError::Malformed)?;
    let ends = ends(&start, given).ok_or(ProtocolError::Descriptors)?;
    Ok((start.settings, ends))
}

/// Reads the beginning of the header, and the descriptors, which come with its first byte.
fn receive_header(stream: &UnixStream, header: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), ProtocolError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ENDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut into = [IoSliceMut::new(header)];
        match rustix::net::recvmsg(stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            message => break message.map_err(io::Error::from),
        }
    };
    let message = message.map_err(ProtocolError::io("receive the descriptors"))?;
    if message.bytes == 0 {
        return Err(ProtocolError::Ended);
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(ProtocolError::Descriptors);
    }
    let mut given = Vec::new();
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(descriptors) => given.extend(descriptors),
            _ => return Err(ProtocolError::Descriptors),
        }
    }
    Ok((message.bytes, given))
}

/// Nothing where there are more or fewer descriptors than were named.
fn ends<S>(start: &Start<S>, given: Vec<OwnedFd>) -> Option<Ends> {
    let mut given = given.into_iter();
    let names = given.next()?;
    let connections = given.next()?;
    let connections_6 = if start.connections_6 { Some(given.next()?) } else { None };
    let refused = if start.refused { Some(given.next()?) } else { None };
    given.next().is_none().then_some(Ends { names, connections, connections_6, refused })
}

/// Says something before it serves: why it cannot.
///
/// # Errors
/// The supervisor is gone.
pub fn say(mut stream: &UnixStream, report: &Report) -> Result<(), ProtocolError> {
    stream.write_all(&frame::to_frame(report)?).map_err(ProtocolError::io("say something"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn descriptor() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn settings_and_descriptors_arrive() {
        for (with_6, with_refused) in [(false, false), (true, false), (false, true), (true, true)] {
            let (here, there) = UnixStream::pair().unwrap();
            let grants =
                vec!["example.org:443".parse().unwrap(), "*.example.org:80,tls=any".parse().unwrap()];
            let settings = Settings { grants, observe: true, ..Settings::default() };
            let ends = Ends {
                names: descriptor(),
                connections: descriptor(),
                connections_6: with_6.then(descriptor),
                refused: with_refused.then(descriptor),
            };
            hand_over(&here, &settings, ends).unwrap();
            let (received, ends) = receive(&there).unwrap();
            assert_eq!(received, settings);
            assert_eq!((ends.connections_6.is_some(), ends.refused.is_some()), (with_6, with_refused));
        }
    }

    #[test]
    fn settings_longer_than_the_sockets_buffer_arrive() {
        let (here, there) = UnixStream::pair().unwrap();
        let grants =
            (0..15_000).map(|number| format!("host-{number}.example.org:443").parse().unwrap()).collect();
        let settings = Settings { grants, ..Settings::default() };
        let ends =
            Ends { names: descriptor(), connections: descriptor(), connections_6: None, refused: None };
        let reader = std::thread::spawn(move || receive(&there).unwrap().0);
        hand_over(&here, &settings, ends).unwrap();
        assert_eq!(reader.join().unwrap(), settings);
    }

    #[test]
    fn what_comes_without_its_descriptors_is_refused() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let start = Start { settings: Settings::default(), connections_6: false, refused: false };
        here.write_all(&frame::to_frame(&start).unwrap()).unwrap();
        assert!(matches!(receive(&there), Err(ProtocolError::Descriptors)));
    }

    #[test]
    fn a_supervisor_that_is_gone_is_seen() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(matches!(receive(&there), Err(ProtocolError::Ended)));
    }
}
