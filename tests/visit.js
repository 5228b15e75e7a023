'use strict';
// Visits a page in Chromium as a user does, with clicks between looks.
// node --experimental-websocket visit.js CHROMIUM PROFILE ADDRESS EXPRESSION...
// Each expression is evaluated in the page again and again, until it gives something, which is
// printed as a line of JSON; PROBLEMS gives what the page complained of so far, REQUESTS whom it asked.
const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');

const [chromium, profile, address, ...expressions] = process.argv.slice(2);
const FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-sync',
  '--disable-background-networking', '--disable-component-update', '--no-first-run', '--window-size=8000,1200'];
const PATIENCE_MS = 60000;
const seen = { PROBLEMS: [], REQUESTS: [] };
const pause = () => new Promise((done) => setTimeout(done, 100));

async function until(what, look) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await pause()) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found;
  }
  throw new Error(`it did not happen: ${what}`);
}

function portOf(browser) {
  const file = path.join(profile, 'DevToolsActivePort');
  return until('Chromium starts', () => {
    if (browser.exitCode !== null) throw new Error('Chromium ended');
    return fs.existsSync(file) && fs.readFileSync(file, 'utf8').split('\n')[1] && fs.readFileSync(file, 'utf8').split('\n')[0];
  });
}

async function connected(port) {
  const targets = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
  const socket = new WebSocket(targets.find(({ type }) => type === 'page').webSocketDebuggerUrl);
  await new Promise((done) => (socket.onopen = done));
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, method, params } = JSON.parse(data);
    if (method === 'Runtime.exceptionThrown') seen.PROBLEMS.push(params.exceptionDetails.text);
    if (method === 'Log.entryAdded' && params.entry.level === 'error') seen.PROBLEMS.push(params.entry.text);
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') seen.PROBLEMS.push(JSON.stringify(params.args));
    if (method === 'Network.requestWillBeSent') seen.REQUESTS.push(params.request.url.slice(0, 200));
    if (waiting.has(id)) waiting.get(id)(result);
  };
  let number = 0;
  return (method, params = {}) => new Promise((done) => {
    number += 1;
    waiting.set(number, done);
    socket.send(JSON.stringify({ id: number, method, params }));
  });
}

async function visit(browser) {
  const command = await connected(await portOf(browser));
  for (const domain of ['Runtime', 'Log', 'Network']) await command(`${domain}.enable`);
  await command('Page.navigate', { url: address });
  for (const expression of expressions) {
    const look = async () => {
      if (expression in seen) return seen[expression];
      const { result } = await command('Runtime.evaluate', { expression, returnByValue: true });
      return result.subtype === 'error' ? undefined : result.value;
    };
    console.log(JSON.stringify(await until(expression, look)));
  }
}

const options = [...FLAGS, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'];
const browser = spawn(chromium, options, { stdio: 'ignore' });
visit(browser).then(() => 0, (problem) => console.error(problem.message) || 1).then((status) => {
  browser.on('exit', () => process.exit(status));
  browser.kill();
});
