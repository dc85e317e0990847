// Loaded into every Node server of the tests (node --require): makes it listen on the loopback interface only.
// fauxqs and kinesis-local bind every interface and have no setting for it.
'use strict';

const net = require('node:net');

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  const options = typeof first === 'object' && first !== null ? first : { port: Number(first) };
  const callback = rest.find((argument) => typeof argument === 'function');
  return listen.call(this, { ...options, host: '127.0.0.1' }, ...(callback ? [callback] : []));
};
