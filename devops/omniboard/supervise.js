'use strict';
// Keeps Omniboard alive: it ends at a file that does not exist, and after MongoDB was away for half
// a minute it never finds back. Here it runs as a child, which is started again when it has ended
// or does not answer. Takes PORT, MONGO_URI, OMNIBOARD_PATIENCE_SECONDS (how long it may go without
// an answer once it listens) and what the preloads take from the environment.
const { fork } = require('child_process');
const http = require('http');
const path = require('path');
const readline = require('readline');

const SCRIPT = path.join(__dirname, 'node_modules', 'omniboard', 'dist', 'start.js');
const PRELOADS = ['supervised.js', 'loopback.js', 'page.js', 'guard.js']; // guard.js comes first to a request
const PORT = Number(process.env.PORT || 9000);
const CHECK_MS = 2000;
const ANSWER_MS = 5000;
// A start takes two to five seconds, on a busy machine minutes: until the child listens it is let be, but
// for one that will never. Each that listened and never answered leaves twice as long to the next one.
const LONGEST_START_MS = 600000;
const PATIENCE_MS = 1000 * Number(process.env.OMNIBOARD_PATIENCE_SECONDS || 15);
const LONGEST_PATIENCE_MS = 4 * PATIENCE_MS;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const STEADY_MS = 30000; // so long it answers, until pauses are short again
const LINES = 40; // of the child in a row, then one for each good answer: MongoDB may be away for days
const SERVED = /HTTP\/1\.\d" [23]\d\d /; // its log of a request that went well, health checks among them

let child = null;
let ending = false;
let pause = FIRST_PAUSE_MS;
let patience = PATIENCE_MS;
let isListening = false;
let lastAnswer = 0; // or when the child began to listen; or its start, before that
let answersSince = null;
let linesLeft = LINES;
let troubleTold = false;

function tell(message) {
  console.log(`${new Date().toISOString()} ${message}`);
}

function tellTrouble(message) {
  if (!troubleTold) tell(`${message}; trying again until it answers`);
  troubleTold = true;
}

function passOn(stream) {
  readline.createInterface({ input: stream }).on('line', (line) => {
    if (SERVED.test(line) || linesLeft < 0) return;
    linesLeft -= 1;
    console.log(linesLeft < 0 ? '(more is left out)' : line);
  });
}

function start() {
  const execArgv = PRELOADS.flatMap((name) => ['-r', path.join(__dirname, name)]);
  // Else it ends when MongoDB is away for a moment.
  execArgv.push('--unhandled-rejections=warn');
  child = fork(SCRIPT, [], { execArgv, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  isListening = false;
  lastAnswer = Date.now();
  answersSince = null;
  const started = child;
  child.on('message', () => {
    if (child !== started) return;
    isListening = true; // as loopback.js says
    lastAnswer = Date.now();
  });
  passOn(child.stdout);
  passOn(child.stderr);
  child.on('exit', (status, signal) => startAgain(`Omniboard ended (${signal || `status ${status}`})`));
  child.on('error', (problem) => {
    if (child && child.pid === undefined) startAgain(`Omniboard cannot be started (${problem.message})`);
  });
}

function startAgain(reason) {
  child = null;
  if (ending) process.exit(0);
  tellTrouble(reason);
  setTimeout(start, pause);
  pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
}

// Calls back with whether it serves and reaches its database.
function isHealthy(callback) {
  const options = { host: '127.0.0.1', port: PORT, path: '/sacred/api/v1/Runs/count', agent: false };
  let told = false;
  const done = (healthy) => {
    if (!told) callback(healthy);
    told = true;
  };
  const request = http.get(options, (response) => {
    response.resume();
    response.on('end', () => done(response.statusCode === 200));
    response.on('error', () => done(false));
  });
  request.on('error', () => done(false));
  const tooLong = setTimeout(() => request.destroy(new Error('no answer in time')), ANSWER_MS);
  request.on('close', () => {
    clearTimeout(tooLong);
    done(false);
  });
}

function noteHealthy() {
  const now = Date.now();
  lastAnswer = now;
  linesLeft = Math.min(linesLeft + 1, LINES);
  patience = PATIENCE_MS;
  if (answersSince === null) {
    answersSince = now;
    tell(`Omniboard answers at port ${PORT}`);
    troubleTold = false;
  }
  if (now - answersSince >= STEADY_MS) pause = FIRST_PAUSE_MS;
}

function noteUnhealthy() {
  if (Date.now() - lastAnswer < (isListening ? patience : LONGEST_START_MS)) return;
  if (answersSince === null) patience = Math.min(2 * patience, LONGEST_PATIENCE_MS);
  tellTrouble('Omniboard does not answer, or has lost its database');
  child.kill('SIGKILL'); // it keeps nothing; started again as it exits
}

function check() {
  const checked = child;
  const again = () => setTimeout(check, CHECK_MS);
  if (checked === null) return again();
  isHealthy((healthy) => {
    if (child === checked) (healthy ? noteHealthy : noteUnhealthy)();
    again();
  });
}

function end() {
  ending = true;
  if (child === null) process.exit(0);
  child.kill('SIGKILL');
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, end);
start();
check();
