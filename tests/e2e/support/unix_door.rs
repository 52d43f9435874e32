//! A Unix socket in front of an origin: what comes in there is passed on as it is.

use std::{
    fs, io,
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// An open door. Dropped, it takes its file and all connections with it.
pub struct UnixDoor {
    path: PathBuf,
    is_closed: Arc<AtomicBool>,
    guests: Arc<Mutex<Vec<UnixStream>>>,
}

impl UnixDoor {
    pub fn open(path: &Path, origin: SocketAddr) -> Self {
        let listener = UnixListener::bind(path).expect("the path is free");
        let (is_closed, guests) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let door = Self {
            path: path.to_owned(),
            is_closed: Arc::clone(&is_closed),
            guests: Arc::clone(&guests),
        };
        thread::spawn(move || {
            for guest in listener.incoming().map_while(Result::ok) {
                if is_closed.load(Ordering::SeqCst) {
                    break;
                }
                let kept = guest.try_clone().expect("there are descriptors");
                guests.lock().expect("no guest has panicked").push(kept);
                pass_on(guest, origin);
            }
        });
        door
    }
}

/// Copies both ways until either side closes.
fn pass_on(guest: UnixStream, origin: SocketAddr) {
    let origin = TcpStream::connect(origin).expect("the origin listens");
    origin.set_nodelay(true).expect("can be set");
    let (mut from_guest, mut to_origin) =
        (guest.try_clone().expect("is open"), origin.try_clone().expect("is open"));
    thread::spawn(move || {
        let _ = io::copy(&mut from_guest, &mut to_origin);
        let _ = to_origin.shutdown(Shutdown::Write);
    });
    let (mut from_origin, mut to_guest) = (origin, guest);
    thread::spawn(move || {
        let _ = io::copy(&mut from_origin, &mut to_guest);
        let _ = to_guest.shutdown(Shutdown::Write);
    });
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
        for guest in self.guests.lock().expect("no guest has panicked").iter() {
            let _ = guest.shutdown(Shutdown::Both);
        }
    }
}
