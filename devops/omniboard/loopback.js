'use strict';
// Loaded before Omniboard (node -r), which would listen on every address of the machine: it asks
// for no password, and whoever reaches it can delete runs. Here every server listens on loopback.
const net = require('net');

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (port, ...rest) {
  if (typeof port === 'number' || typeof port === 'string') {
    const callbacks = rest.filter((argument) => typeof argument === 'function');
    return listen.call(this, { port: Number(port), host: '127.0.0.1' }, ...callbacks);
  }
  return listen.call(this, { ...port, host: '127.0.0.1' }, ...rest);
};
