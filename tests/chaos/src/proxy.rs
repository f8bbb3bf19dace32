//! A TCP proxy that misbehaves on request: it stands before each broker, the identity provider and the registry.
//!
//! Traffic is forwarded as it comes, in both directions, by a task for each. What a fault changes is asked before every piece, so
//! it hits connections that are open as well as those that come.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Read and forwarded at once.
const PIECE: usize = 16 * 1024;

/// What the proxy does to new connections, and to open ones where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// Forward.
    #[default]
    Pass,
    /// Forward every piece after this delay and at no more than this rate; open connections too.
    Slow {
        /// For each piece.
        delay: Duration,
        /// Of each direction of each connection.
        bytes_per_second: u32,
    },
    /// Accept, and forward nothing: the other side never hears of it.
    Silent,
    /// The port is closed.
    Refuse,
}

/// A proxy in front of one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    #[cfg(test)]
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
    task: JoinHandle<()>,
}

/// What was asked of one connection.
#[derive(Debug, Default)]
struct Connection {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Nothing is forwarded any more, and nothing is closed.
    Silent,
    Cut,
}

impl Connection {
    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.asked.notify_waiters();
    }

    /// Returns once the connection is to be closed.
    async fn cut(&self) {
        loop {
            let asked = self.asked.notified();
            if self.state() == State::Cut {
                return;
            }
            asked.await;
        }
    }
}

impl Proxy {
    /// Forwards from an open port to `target`.
    pub(crate) fn start(listener: TcpListener, target: SocketAddr) -> Self {
        #[cfg(test)]
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::default());
        let connections = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, target, watched, Arc::clone(&connections)));
        Self {
            #[cfg(test)]
            address,
            mode,
            connections,
            task,
        }
    }

    /// Where it listens.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does. With [`Mode::Refuse`] and [`Mode::Silent`] open connections end or fall silent too, and stay so.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        match mode {
            Mode::Refuse => self.each(100, State::Cut),
            Mode::Silent => self.each(100, State::Silent),
            Mode::Pass | Mode::Slow { .. } => {}
        }
    }

    /// Closes so many of a hundred open connections, the oldest first.
    pub(crate) fn cut(&self, share: u8) {
        self.each(share, State::Cut);
    }

    /// Lets so many of a hundred open connections fall silent, the oldest first: for ever, without closing them.
    pub(crate) fn silence(&self, share: u8) {
        self.each(share, State::Silent);
    }

    /// How many connections are open, silent ones included.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.lock().len()
    }

    fn each(&self, share: u8, state: State) {
        let connections = self.lock();
        let hit = (connections.len() * usize::from(share)).div_ceil(100);
        connections.iter().take(hit).for_each(|connection| connection.set(state));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut(100);
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
) {
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    loop {
        let now = *mode.borrow_and_update();
        if now == Mode::Refuse {
            listener = None;
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            // The port is below the ephemeral range: nobody else takes it meanwhile.
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            continue;
        };
        let client = tokio::select! {
            client = open.accept() => client,
            changed = mode.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok((client, _)) = client else { continue };
        let connection = Arc::new(Connection::default());
        if now == Mode::Silent {
            connection.set(State::Silent);
        }
        connections.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&connection));
        let (mode, connections) = (mode.clone(), Arc::clone(&connections));
        tokio::spawn(async move {
            forward(client, target, &connection, mode).await;
            let mut open = connections.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|other| !Arc::ptr_eq(other, &connection));
        });
    }
}

/// One connection's life: it ends when either side ends it, or when it is cut.
async fn forward(client: TcpStream, target: SocketAddr, connection: &Connection, mode: watch::Receiver<Mode>) {
    let both = async {
        let Ok(server) = TcpStream::connect(target).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pump(from_client, to_server, connection, mode.clone()) => {}
            () = pump(from_server, to_client, connection, mode) => {}
        }
    };
    tokio::select! {
        () = both => {}
        () = connection.cut() => {}
    }
}

/// Forwards in one direction until its end.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, connection: &Connection, mode: watch::Receiver<Mode>) {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else {
            if connection.state() == State::Silent {
                // The end of one side is not passed on either.
                return std::future::pending().await;
            }
            return;
        };
        let now = *mode.borrow();
        if let Mode::Slow { delay, bytes_per_second } = now {
            let sending = Duration::from_secs_f64(length as f64 / f64::from(bytes_per_second.max(1)));
            tokio::time::sleep(delay + sending).await;
        }
        match connection.state() {
            State::Open => {}
            // What was sent is taken and lost, as by a network that drops everything while buffers have room.
            State::Silent => continue,
            State::Cut => return,
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Longer than anything here takes, shorter than anyone's patience.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that says everything back.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn proxy() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Proxy::start(listener, echo().await)
    }

    async fn say(stream: &mut TcpStream, word: &str) -> io::Result<String> {
        stream.write_all(word.as_bytes()).await?;
        let mut answer = vec![0; word.len()];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer or an end")?;
        Ok(String::from_utf8(answer).unwrap())
    }

    /// Whether nothing comes back for a while.
    async fn is_silent(stream: &mut TcpStream) -> bool {
        stream.write_all(b"hello?").await.unwrap();
        tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn what_is_said_comes_back() {
        let proxy = proxy().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        for word in ["hello", "again"] {
            assert_eq!(say(&mut stream, word).await.unwrap(), word);
        }
        assert_eq!(proxy.open(), 1);
    }

    #[tokio::test]
    async fn a_cut_ends_the_oldest_share_of_the_connections_and_no_other() {
        let proxy = proxy().await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            say(&mut stream, "hello").await.unwrap();
            streams.push(stream);
        }
        proxy.cut(50);
        for (index, stream) in streams.iter_mut().enumerate() {
            assert_eq!(say(stream, "still there?").await.is_ok(), index >= 2, "connection {index}");
        }
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut new, "new").await.unwrap(), "new");
    }

    #[tokio::test]
    async fn a_silent_connection_stays_open_and_silent_when_the_others_speak_again() {
        let proxy = proxy().await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut old, "hello").await.unwrap();
        proxy.set(Mode::Silent);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(is_silent(&mut old).await && is_silent(&mut new).await);
        proxy.set(Mode::Pass);
        assert!(is_silent(&mut old).await && is_silent(&mut new).await);
        let mut after = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut after, "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_closed_port_refuses_and_opens_again() {
        let proxy = proxy().await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut old, "hello").await.unwrap();
        proxy.set(Mode::Refuse);
        assert!(say(&mut old, "hello").await.is_err());
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        proxy.set(Mode::Pass);
        let connected = async {
            loop {
                if let Ok(stream) = TcpStream::connect(proxy.address()).await {
                    return stream;
                }
                tokio::task::yield_now().await;
            }
        };
        let mut stream = tokio::time::timeout(PATIENCE, connected).await.unwrap();
        assert_eq!(say(&mut stream, "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_slow_connection_takes_its_time() {
        let proxy = proxy().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut stream, "hello").await.unwrap();
        proxy.set(Mode::Slow { delay: Duration::from_millis(100), bytes_per_second: 100 });
        let began = std::time::Instant::now();
        assert_eq!(say(&mut stream, "0123456789").await.unwrap(), "0123456789");
        // Both ways: the delay, and a tenth of a second for ten bytes.
        assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    }
}
