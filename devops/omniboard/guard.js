'use strict';
// Loaded before Omniboard (node -r), which asks for no password, lets every web page read the runs
// and lets whoever reaches it delete them. Here it answers
// - to this machine's user alone, where the system tells whose a connection is (Linux does);
// - only under a name of this machine, so that no web page can pass for it (DNS rebinding);
// - only what reads, and to no page of another origin;
// - files in a way that a browser never runs: an artifact may be a web page with scripts.
// What it cannot decide on it refuses: whoever can connect may send anything.
const fs = require('fs');
const http = require('http');
const net = require('net');
const os = require('os');

const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;
const READING = new Set(['GET', 'HEAD', 'OPTIONS']);
const REQUESTS = new Set(['request', 'checkContinue', 'checkExpectation']);
const FILE = /^(.*\/api\/v1\/files\/(?:download|preview)\/[^/?]+\/)([^?]+)(\?.*)?$/i;
const FILE_ID = /^[^?]*?\/api\/v1\/files\/(?:download|preview)\/([^/?]*)/i;
const FILE_ID_FORM = /^[0-9a-f]{24}$/i;
const READ_ONLY =
  'this page is read-only; use `python -m nn_clustering.tracking tag | note | delete` for runs, ' +
  'and configs/omniboard_columns.yaml for columns';
// Looked for once: a table that cannot be read later (too many open files) must not look like a
// system that has none.
const CONNECTIONS = ['/proc/net/tcp', '/proc/net/tcp6'].filter((table) => fs.existsSync(table));
const ESTABLISHED = '01'; // in other states the number of the user may be 0, whoever connected
const IS_LITTLE_ENDIAN = os.endianness() === 'LE';
const MAPPED = '0'.repeat(16) + (IS_LITTLE_ENDIAN ? 'FFFF0000' : '0000FFFF'); // ::ffff:0:0/96
// Behind a published port of a container every connection comes from outside it.
const inContainer = Boolean(process.env.OMNIBOARD_LISTEN);
const ownersAreKnown = CONNECTIONS.length > 0 && !inContainer;

// Status and message of the answer to what is not let through, else null.
function refusal(request) {
  if (!isOwn(request.socket)) return [403, 'this page is for the user who started it'];
  if (!LOCAL_HOST.test(request.headers.host || '')) {
    return [403, 'this page answers under localhost or 127.0.0.1 only: open it by that name (from elsewhere, through an SSH tunnel)'];
  }
  if (!READING.has(request.method)) return [403, READ_ONLY];
  // An image in a page of anyone's would do to end Omniboard, which ends at a file that is not there.
  if (request.headers['sec-fetch-site'] === 'cross-site' && /\/api\//i.test(request.url)) {
    return [403, 'this answers to its own page alone: open it by its address'];
  }
  return malformation(request.url);
}

// Omniboard ends, or answers that it failed, at addresses that name nothing.
function malformation(url) {
  if (!url.startsWith('/')) return [400, 'this page is no proxy: ask for a path that begins with /'];
  const [, fileId] = FILE_ID.exec(url) || [];
  if (fileId !== undefined && !FILE_ID_FORM.test(fileId)) {
    return [404, 'there is no such file: its id has 24 hexadecimal digits'];
  }
  return isDecodable(withPlainName(url)) ? null : [400, 'the path has a % without two hexadecimal digits of UTF-8: write %25'];
}

function isDecodable(url) {
  try {
    decodeURIComponent(url.split('?', 1)[0]);
    return true;
  } catch {
    return false;
  }
}

// Whether the other end of the connection, on this machine, belongs to us or to root.
function isOwn(socket) {
  if (!ownersAreKnown) return true;
  if (socket.isOwn === undefined) {
    const owners = ownersOf(socket);
    const allowed = new Set([0, process.getuid()]);
    socket.isOwn = owners.length > 0 && owners.every((owner) => allowed.has(owner));
  }
  return socket.isOwn;
}

// Numbers of the users to whom the other end of the connection belongs: one, or none where it has
// been closed.
function ownersOf(socket) {
  const ends = [
    inTable(socket.remoteAddress, socket.remotePort),
    inTable(socket.localAddress, socket.localPort),
  ];
  const find = () => CONNECTIONS.flatMap((table) => ownersIn(table, ends));
  const owners = find();
  // The tables change while they are read: a line may be passed over.
  return owners.length > 0 ? owners : find();
}

// Only by both whole addresses is it that connection: anyone can have the same port at 127.0.0.2.
function ownersIn(table, [wantedLocal, wantedRemote]) {
  const owners = [];
  for (const line of fs.readFileSync(table, 'latin1').split('\n').slice(1)) {
    const [, local, remote, state, , , , user] = line.trim().split(/\s+/);
    const prefix = local && local.startsWith(MAPPED) ? MAPPED : '';
    if (state === ESTABLISHED && local === prefix + wantedLocal && remote === prefix + wantedRemote) {
      owners.push(Number(user));
    }
  }
  return owners;
}

// An end of a connection as the tables have it: the address is a number of this processor.
function inTable(address, port) {
  const dotted = address.replace(/^::ffff:/i, '');
  if (!net.isIPv4(dotted)) throw new Error(`${address} is no IPv4 address`);
  const bytes = Buffer.from(dotted.split('.').map(Number));
  if (IS_LITTLE_ENDIAN) bytes.reverse();
  return `${bytes.toString('hex')}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

function refuse(response, status, message) {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', Connection: 'close' });
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

// Whether Omniboard gets the request; if not, it has been answered.
function isLetThrough(request, response) {
  try {
    // The client has gone: it cannot be told whose it was, and nobody waits for an answer.
    if (request.socket.remotePort === undefined) {
      request.socket.destroy();
      return false;
    }
    const refused = refusal(request);
    if (refused) refuse(response, ...refused);
    else protect(request, response);
    return !refused;
  } catch (problem) {
    console.error(`a request was refused, for the guard failed (${problem.message})`);
    request.socket.destroy();
    return false;
  }
}

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  if (REQUESTS.has(event) && !isLetThrough(request, response)) return true;
  return emit.apply(this, arguments);
};
