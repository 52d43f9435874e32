//! A client of one connection. It answers SETTINGS and PING, keeps both windows of everything, and
//! fails the test when the proxy breaks the protocol.

use std::{
    collections::BTreeMap,
    io::{BufReader, ErrorKind, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use super::{
    Decoder, Fields, Outcome, Reply,
    frame::{self, Frame},
    windows::Windows,
};
use crate::support::PATIENCE;

/// Numbers below are those of PINGs that tests write themselves.
const OWN_PINGS: u64 = 1 << 63;

/// What becomes of a receive window that answers have used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// It is given back at once.
    Returned,
    /// It is given back once half of it is used up, as browsers do.
    ReturnedByHalves,
    /// The test gives it back, or does not.
    Kept,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The last stream and the code of the last GOAWAY.
    pub goaway: Option<(u32, u32)>,
    /// Whether it was closed in order; else it was reset.
    pub in_order: bool,
}

pub struct Http2 {
    stream: BufReader<TcpStream>,
    decoder: Decoder,
    next: u32,
    credit: Credit,
    /// What the proxy has announced.
    settings: BTreeMap<u16, u32>,
    acks: usize,
    /// The numbers of the last PING of `ping`, and of the last that was answered.
    pinged: u64,
    ponged: u64,
    /// Answers to PINGs of the proxy, if the test sends them.
    pongs: Option<Vec<u8>>,
    goaway: Option<(u32, u32)>,
    ending: Option<Ending>,
    /// The header block that is being received: its stream, and whether the stream ends with it.
    block: Option<(u32, bool, Vec<u8>)>,
    replies: BTreeMap<u32, Reply>,
    /// What may be sent and received, by stream; 0 is the connection.
    to_send: Windows,
    to_receive: Windows,
    /// What was used up and not given back, by stream.
    used: BTreeMap<u32, u32>,
}

impl Http2 {
    /// A connection on which nothing has been said.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("something listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("can be set");
        stream.set_nodelay(true).expect("can be set");
        Self {
            stream: BufReader::new(stream),
            decoder: Decoder::new(),
            next: 1,
            credit: Credit::Returned,
            settings: BTreeMap::new(),
            acks: 0,
            pinged: OWN_PINGS,
            ponged: OWN_PINGS,
            pongs: None,
            goaway: None,
            ending: None,
            block: None,
            replies: BTreeMap::new(),
            to_send: Windows::new(65_535),
            to_receive: Windows::new(65_535),
            used: BTreeMap::new(),
        }
    }

    /// A connection whose settings both sides know.
    pub fn connect(address: SocketAddr) -> Self {
        Self::with(address, &[], Credit::Returned)
    }

    /// The same with these settings of the client's.
    pub fn with(address: SocketAddr, settings: &[(u16, u32)], credit: Credit) -> Self {
        let mut client = Self::silent(address);
        client.credit = credit;
        client.write([frame::PREFACE, &frame::settings(settings)].concat());
        client.announce(settings);
        while client.settings.is_empty() || client.acks == 0 {
            client.read_on("the settings");
        }
        client
    }

    /// Has sent settings: what they allow holds from now on.
    fn announce(&mut self, settings: &[(u16, u32)]) {
        for (name, value) in settings {
            match *name {
                frame::INITIAL_WINDOW_SIZE => self.to_receive.set_initial(*value),
                frame::HEADER_TABLE_SIZE => {
                    self.decoder.limit(usize::try_from(*value).expect("is small"));
                }
                _ => {}
            }
        }
    }

    /// Changes settings and waits until the proxy has taken them. Until then it may fill the
    /// windows of before, so that a window does not shrink before the acknowledgement.
    pub fn change(&mut self, settings: &[(u16, u32)]) {
        let known = self.acks;
        self.write(frame::settings(settings));
        while self.acks == known {
            self.read_on("settings to be acknowledged");
        }
        self.announce(settings);
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_write(bytes), "the proxy takes it");
    }

    /// False if the proxy has gone.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Ends what the client sends.
    pub fn shutdown(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).expect("is open");
    }

    /// A second handle on the connection, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("can be cloned")
    }

    /// The value of a setting of the proxy's.
    pub fn setting(&self, name: u16) -> Option<u32> {
        self.settings.get(&name).copied()
    }

    /// The number of the next stream, which is counted as used.
    pub fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a request without a body.
    pub fn send(&mut self, fields: &Fields) -> u32 {
        let stream = self.next_stream();
        self.write(frame::headers(stream, &fields.block(), true));
        stream
    }

    /// Sends the head of a request that has a body.
    pub fn open(&mut self, fields: &Fields) -> u32 {
        let stream = self.next_stream();
        self.write(frame::headers(stream, &fields.block(), false));
        stream
    }

    /// Sends a part of a body as fast as the windows allow.
    pub fn data(&mut self, stream: u32, mut content: &[u8], ends: bool) {
        loop {
            while self.to_send.left(stream) <= 0 && !content.is_empty() {
                assert_eq!(self.reply_so_far(stream).reset, None, "stream {stream} was reset");
                self.read_on("a window to open");
            }
            let window = usize::try_from(self.to_send.left(stream)).unwrap_or(0);
            let (piece, rest) = content.split_at(content.len().min(window).min(frame::LONGEST));
            let piece_ends = ends && rest.is_empty();
            self.write(frame::data(stream, piece, piece_ends));
            self.count_as_sent(stream, piece.len());
            content = rest;
            if content.is_empty() {
                return;
            }
        }
    }

    /// Takes bytes off the windows that were sent by `write`.
    pub fn count_as_sent(&mut self, stream: u32, length: usize) {
        let length = i64::try_from(length).expect("is small");
        self.to_send.add(0, -length);
        self.to_send.add(stream, -length);
    }

    /// How many bytes may be sent on a stream now.
    pub fn window(&self, stream: u32) -> i64 {
        self.to_send.left(stream)
    }

    /// Gives the proxy more to send; stream 0 is the connection.
    pub fn give(&mut self, stream: u32, more: u32) {
        self.to_receive.add(stream, more.into());
        // If the proxy has gone, whatever is read next says so.
        self.try_write(frame::window_update(stream, more));
    }

    /// What has come on a stream so far.
    pub fn reply_so_far(&mut self, stream: u32) -> &Reply {
        self.replies.entry(stream).or_default()
    }

    /// What came on a stream, once it has ended or the connection has.
    pub fn reply(&mut self, stream: u32) -> Reply {
        self.until(stream, Reply::has_ended)
    }

    /// What has come on a stream, once it is enough or the connection has ended.
    pub fn until(&mut self, stream: u32, is_enough: impl Fn(&Reply) -> bool) -> Reply {
        while !is_enough(self.reply_so_far(stream)) && self.step().is_some() {}
        self.reply_so_far(stream).clone()
    }

    /// A whole exchange without a body in the request.
    pub fn ask(&mut self, fields: &Fields) -> Reply {
        let stream = self.send(fields);
        self.reply(stream)
    }

    /// A whole exchange with a body.
    pub fn ask_with(&mut self, fields: &Fields, body: &[u8]) -> Reply {
        let stream = self.open(fields);
        self.data(stream, body, true);
        self.reply(stream)
    }

    /// How a stream ended.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        let reply = self.reply(stream);
        match (reply.is_whole, reply.reset, self.goaway) {
            (true, ..) => Outcome::Status(reply.status),
            (false, Some(code), _) => Outcome::Reset(code),
            (false, None, Some((_, code))) => Outcome::GoAway(code),
            (false, None, None) => Outcome::Closed,
        }
    }

    /// Waits for the answer to a PING: all frames sent before have been read. False if the
    /// connection has ended.
    pub fn ping(&mut self) -> bool {
        self.pinged += 1;
        self.try_write(frame::ping(self.pinged));
        while self.ponged < self.pinged && self.step().is_some() {}
        self.ponged == self.pinged
    }

    /// Answers no PING of the proxy before `pong`.
    pub fn hold_pongs(&mut self) {
        self.pongs = Some(Vec::new());
    }

    /// Whether the proxy waits for an answer to a PING.
    pub fn is_pinged(&self) -> bool {
        self.pongs.as_ref().is_some_and(|pongs| !pongs.is_empty())
    }

    /// Answers the PINGs of the proxy, those that come too.
    pub fn pong(&mut self) {
        if let Some(pongs) = self.pongs.take() {
            self.write(pongs);
        }
    }

    /// Reads until the connection ends.
    pub fn ending(&mut self) -> Ending {
        while self.step().is_some() {}
        self.ending.expect("the connection has ended")
    }

    /// The last GOAWAY so far: its last stream and its code.
    pub fn goaway(&self) -> Option<(u32, u32)> {
        self.goaway
    }

    /// Reads one frame, which must come.
    pub fn read_on(&mut self, what: &str) -> Frame {
        let ending = format!("the connection ended instead of {what}");
        let goaway = self.goaway;
        self.step().unwrap_or_else(|| panic!("{ending}: {goaway:?}"))
    }

    /// Reads one frame and does what it asks for; `None` at the end of the connection.
    pub fn step(&mut self) -> Option<Frame> {
        if self.ending.is_some() {
            return None;
        }
        let in_order = match Frame::read(&mut self.stream) {
            Ok(Some(frame)) => {
                self.take(&frame);
                return Some(frame);
            }
            Ok(None) => true,
            Err(error) => {
                let is_reset = error.kind() == ErrorKind::ConnectionReset;
                assert!(is_reset, "nothing came, or half a frame: {error}");
                false
            }
        };
        self.ending = Some(Ending { goaway: self.goaway, in_order });
        None
    }

    fn take(&mut self, frame: &Frame) {
        assert!(frame.payload.len() <= frame::LONGEST, "a frame of {} bytes", frame.payload.len());
        let is_inside_block = frame.kind == frame::CONTINUATION;
        assert_eq!(self.block.is_some(), is_inside_block, "out of order: {frame:?}");
        match frame.kind {
            frame::DATA => self.take_data(frame),
            frame::HEADERS | frame::CONTINUATION => self.take_headers(frame),
            frame::RST_STREAM => {
                // Again, for what came behind the first (section 5.4.2): that is the one that counts.
                let reply = self.replies.entry(frame.stream).or_default();
                reply.reset = reply.reset.or(Some(frame.number(0)));
            }
            frame::SETTINGS if frame.has(frame::ACK) => self.acks += 1,
            frame::SETTINGS => self.take_settings(frame),
            frame::PING if frame.has(frame::ACK) => {
                let said = frame.payload[..].try_into().map(u64::from_be_bytes);
                self.ponged = self.ponged.max(said.expect("eight bytes").min(self.pinged));
            }
            frame::PING => {
                let pong = Frame::new(frame::PING, frame::ACK, 0, frame.payload.clone());
                match &mut self.pongs {
                    Some(pongs) => pongs.extend(pong.bytes()),
                    None => _ = self.try_write(pong.bytes()),
                }
            }
            frame::GOAWAY => self.goaway = Some((frame.number(0), frame.number(1))),
            frame::WINDOW_UPDATE => self.to_send.add(frame.stream, frame.number(0).into()),
            other => panic!("a frame of kind {other}: {frame:?}"),
        }
    }

    fn take_settings(&mut self, frame: &Frame) {
        for value in frame.payload.chunks(6) {
            let (name, value) = value.split_at_checked(2).expect("whole settings");
            let name = u16::from_be_bytes(name.try_into().expect("two bytes"));
            let value = u32::from_be_bytes(value.try_into().expect("four bytes"));
            self.settings.insert(name, value);
            if name == frame::INITIAL_WINDOW_SIZE {
                self.to_send.set_initial(value);
            }
        }
        self.try_write(frame::settings_ack());
    }

    fn take_data(&mut self, frame: &Frame) {
        let stream = frame.stream;
        let length = u32::try_from(frame.payload.len()).expect("a frame is short");
        for of in [0, stream] {
            self.to_receive.add(of, -i64::from(length));
        }
        let left = self.to_receive.left(stream);
        assert!(left >= 0 || length == 0, "stream {stream} is {left} bytes beyond its window");
        assert!(!frame.has(frame::PADDED), "padding is not expected here");
        let ends = frame.has(frame::END_STREAM);
        self.replies.entry(stream).or_default().take_data(&frame.payload, ends);
        self.give_back(0, length);
        if !ends {
            self.give_back(stream, length);
        }
    }

    fn give_back(&mut self, stream: u32, length: u32) {
        let least = match self.credit {
            Credit::Returned => 1,
            Credit::ReturnedByHalves => 32_768,
            Credit::Kept => return,
        };
        let used = self.used.entry(stream).or_default();
        *used += length;
        if *used >= least {
            let used = std::mem::take(used);
            self.give(stream, used);
        }
    }

    fn take_headers(&mut self, frame: &Frame) {
        assert!(!frame.has(frame::PADDED), "padding is not expected here");
        let is_first = frame.kind == frame::HEADERS;
        let start = (frame.stream, frame.has(frame::END_STREAM) && is_first, Vec::new());
        let (stream, ends, mut block) = self.block.take().unwrap_or(start);
        assert_eq!(stream, frame.stream, "a block of two streams");
        let is_prioritised = is_first && frame.has(frame::HAS_PRIORITY);
        block.extend_from_slice(&frame.payload[if is_prioritised { 5 } else { 0 }..]);
        if !frame.has(frame::END_HEADERS) {
            self.block = Some((stream, ends, block));
            return;
        }
        let fields = self.decoder.decode(&block);
        self.replies.entry(stream).or_default().take_fields(fields, ends);
    }
}
