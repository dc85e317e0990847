// Loaded into a program by node --require: resolves NAME.localhost to this machine, as RFC 6761 has it and not every
// system does. fauxqs knows its queues by such a name alone.
'use strict';

const dns = require('node:dns');

const lookup = dns.lookup;

dns.lookup = function lookupLocalhost(name, ...rest) {
  return lookup.call(this, name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest);
};
