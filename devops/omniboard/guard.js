'use strict';
// Loaded before Omniboard (node -r), which asks for no password, lets every web page read the runs
// and lets whoever reaches it delete them. Here it answers
// - to this machine's user alone, where the system tells whose a connection is (Linux does);
// - only under a name of this machine, so that no web page can pass for it (DNS rebinding);
// - only what reads, and to no page of another origin;
// - files in a way that a browser never runs: an artifact may be a web page with scripts.
const fs = require('fs');
const http = require('http');

const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;
const READING = new Set(['GET', 'HEAD', 'OPTIONS']);
const FILE = /^(.*\/api\/v1\/files\/(?:download|preview)\/[^/?]+\/)([^?]+)(\?.*)?$/i;
const CONNECTIONS = ['/proc/net/tcp', '/proc/net/tcp6'];
const READ_ONLY =
  'this page is read-only; use `python -m nn_clustering.tracking tag | note | delete` for runs, ' +
  'and configs/omniboard.yaml for columns';
// Behind a published port of a container every connection comes from outside it.
const inContainer = Boolean(process.env.OMNIBOARD_LISTEN);

function refusal(request) {
  if (isOtherUser(request.socket)) return 'this page is for the user who started it';
  if (!LOCAL_HOST.test(request.headers.host || '')) {
    return 'this page answers under localhost or 127.0.0.1 only: open it by that name (from elsewhere, through an SSH tunnel)';
  }
  return READING.has(request.method) ? null : READ_ONLY;
}

// Whether the other end of the connection, on this machine, belongs to another user than us or root.
function isOtherUser(socket) {
  if (inContainer) return false;
  if (socket.ownerIsOther === undefined) {
    const owner = ownerOf(socket.remotePort, socket.localPort);
    // Not in the tables: the connection does not come from a process of this system.
    socket.ownerIsOther = owner !== null && owner !== 0 && owner !== process.getuid();
  }
  return socket.ownerIsOther;
}

// Number of the user whose socket has these ports; null where the system does not tell.
function ownerOf(localPort, remotePort) {
  const ends = [localPort, remotePort].map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
  for (const table of CONNECTIONS) {
    let lines;
    try {
      lines = fs.readFileSync(table, 'latin1').split('\n').slice(1);
    } catch {
      continue;
    }
    for (const line of lines) {
      const [, local, remote, , , , , user] = line.trim().split(/\s+/);
      if (user && local.endsWith(`:${ends[0]}`) && remote.endsWith(`:${ends[1]}`)) return Number(user);
    }
  }
  return null;
}

function refuse(response, message) {
  response.writeHead(403, { 'Content-Type': 'application/json; charset=utf-8', Connection: 'close' });
  response.end(JSON.stringify({ message }));
}

// The page puts an artifact's name into the address as it is. It only serves to tell the type of
// the file, and with some characters Omniboard finds no file or fails.
function withPlainName(url) {
  const [, start, name, query] = FILE.exec(url) || [];
  if (start === undefined) return url;
  return start + name.replace(/%[0-9a-f]{2}/gi, '_').replace(/[^A-Za-z0-9._-]/g, '_') + (query || '');
}

function protect(request, response) {
  const setHeader = response.setHeader;
  response.setHeader = function (name, value) {
    return /^access-control-/i.test(name) ? this : setHeader.call(this, name, value);
  };
  response.setHeader('X-Content-Type-Options', 'nosniff');
  // Whatever is no part of the page itself; the browser ignores it in what the page's script reads.
  if (/\/api\//i.test(request.url)) response.setHeader('Content-Security-Policy', 'sandbox');
  request.url = withPlainName(request.url);
}

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  if (event === 'request' || event === 'checkContinue' || event === 'checkExpectation') {
    const message = refusal(request);
    if (message) {
      refuse(response, message);
      return true;
    }
    protect(request, response);
  }
  return emit.apply(this, arguments);
};
