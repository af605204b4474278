"""A minimal elector: raw sockets, so that the moment before a send is known."""

import socket
import threading
import time

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire:
    """Announces a leader on a stream and to polls; records when each stream was requested."""

    def __init__(self, leader: str) -> None:
        self.leader = leader
        self.polls = 0
        self._streams: list[socket.socket] = []
        self._subscribed_at: list[int] = []
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def announce(self, leader: str) -> int:
        """Announce the leader on every stream; return the time before (ns, CLOCK_MONOTONIC)."""
        self.leader = leader
        event = b'data: {"name":"%s"}\n\n' % leader.encode()
        chunk = b"%x\r\n%s\r\n" % (len(event), event)
        before = time.monotonic_ns()
        for stream in self._streams:
            stream.sendall(chunk + chunk)
        return before

    def wait_subscribed(self, count: int) -> int:
        """Wait for this many streams in total; return when the last was requested (ns)."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._subscribed_at) >= count, 20):
                raise TimeoutError("no client subscribed")
            return self._subscribed_at[count - 1]

    @property
    def subscriptions(self) -> int:
        """Return how many streams have been requested so far."""
        return len(self._subscribed_at)

    def hang_up(self) -> None:
        """Forget the streams of wrappers that have ended."""
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            request = connection.recv(4096)
            now = time.monotonic_ns()
            answer = b'{"name":"%s"}' % self.leader.encode()
            if not request.startswith(b"GET /sse"):
                self.polls += 1
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(answer), answer)
                )
                connection.close()
                continue
            event = b"data: %s\n\n" % answer
            connection.sendall(_HEAD + b"%x\r\n%s\r\n" % (len(event), event))
            with self._changed:
                self._streams.append(connection)
                self._subscribed_at.append(now)
                self._changed.notify_all()
