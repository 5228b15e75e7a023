"""A line to a real server that can be cut, before or after what was sent has arrived."""

import contextlib
import socket
import threading


class FaultyLine:
    """Forwards a loopback port to a server, as long as it is not cut.

    Attributes:
        address: Host and port to connect to instead of the server's.
    """

    def __init__(self, server_address):
        host, _, port = server_address.rpartition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._pairs = set()
        self._is_cut = False
        self._sends_left = None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Close all connections and let no new one through."""
        with self._lock:
            self._is_cut, self._sends_left = True, None
            self._close_all()

    def restore(self):
        with self._lock:
            self._is_cut, self._sends_left = False, None

    def cut_after(self, n_sends):
        """Let so many more messages arrive; the answer to the last is lost with the connections."""
        with self._lock:
            self._is_cut, self._sends_left = False, n_sends

    def close(self):
        self.cut()
        self._listener.close()

    def _close_all(self):
        # The server shall get what was sent, so its ends are closed for writing only.
        for client, server in self._pairs:
            for connection, how in ((client, socket.SHUT_RDWR), (server, socket.SHUT_WR)):
                with contextlib.suppress(OSError):
                    connection.shutdown(how)
        self._pairs.clear()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._is_cut:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._server)
                except OSError:
                    client.close()
                    continue
                self._pairs.add((client, server))
            for forward in (self._forward_requests, self._forward_replies):
                threading.Thread(target=forward, args=(client, server), daemon=True).start()

    def _forward_requests(self, client, server):
        with contextlib.suppress(OSError):
            while piece := client.recv(1 << 16):
                with self._lock:
                    server.sendall(piece)
                    if self._sends_left is not None:
                        self._sends_left -= 1
                        if self._sends_left == 0:
                            self._is_cut, self._sends_left = True, None
                            self._close_all()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _forward_replies(self, client, server):
        with contextlib.suppress(OSError):
            while piece := server.recv(1 << 16):
                client.sendall(piece)
        client.close()
        server.close()
