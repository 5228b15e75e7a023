'use strict';
// Loaded before Omniboard (node -r), which would listen on every address of the machine. Here every
// server listens on loopback, or on the address that OMNIBOARD_LISTEN names (in a container, whose
// port is then published on loopback), and only on the port that it was given: Omniboard would move
// on to the next one, where nobody looks for it.
const net = require('net');

const HOST = process.env.OMNIBOARD_LISTEN || '127.0.0.1';
const PORT_TAKEN = 98; // exit status
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (port, ...rest) {
  this.prependOnceListener('error', (problem) => {
    if (problem.code !== 'EADDRINUSE') return;
    console.error(`port ${problem.port} of ${HOST} is taken`);
    process.exit(PORT_TAKEN);
  });
  this.once('listening', () => process.connected && process.send('listening')); // to its supervisor
  if (typeof port === 'number' || typeof port === 'string') {
    const callbacks = rest.filter((argument) => typeof argument === 'function');
    return listen.call(this, { port: Number(port), host: HOST }, ...callbacks);
  }
  return listen.call(this, { ...port, host: HOST }, ...rest);
};
