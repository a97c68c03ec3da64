// Loaded before our processes in the tests of the documents: every machine of theirs is this one.
const dns = require("node:dns");

const onThisMachine = (name) => (name.endsWith(".example") ? "127.0.0.1" : name);
const { lookup } = dns;
dns.lookup = (name, ...rest) => lookup(onThisMachine(name), ...rest);
const lookupLater = dns.promises.lookup;
dns.promises.lookup = (name, ...rest) => lookupLater(onThisMachine(name), ...rest);
