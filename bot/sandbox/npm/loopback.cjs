// Loaded before the Playground, which listens on every interface and has no option to change that.
// Keeps the whole process on this machine: servers listen on 127.0.0.1, and connections leave for loopback only.
'use strict';
const fs = require('fs');
const net = require('net');

const HERE = '127.0.0.1';
const LOOPBACK = new Set([HERE, 'localhost', '::1', '[::1]']);

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const [first] = args;
  const callback = args.find((arg) => typeof arg === 'function');
  if (first && typeof first === 'object' && 'port' in first) {
    return listen.call(this, { ...first, host: HERE }, callback);
  }
  if (typeof first === 'number' || /^\d+$/.test(String(first))) {
    return listen.call(this, { port: Number(first), host: HERE }, callback);
  }
  if (first === undefined || typeof first === 'function') {
    return listen.call(this, { port: 0, host: HERE }, callback);
  }
  return listen.apply(this, args);
};

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const target = Array.isArray(args[0]) ? args[0][0] : args[0]; // net.connect() passes a normalised array
  const isAddress = target !== null && typeof target === 'object';
  const host = isAddress ? target.host : args[1];
  const isLocal = (isAddress && target.path) || typeof host !== 'string' || LOOPBACK.has(host);
  if (!isLocal) {
    process.nextTick(() => this.destroy(new Error(`the sandbox does not leave this machine: ${host}`)));
    return this;
  }
  return connect.apply(this, args);
};

// The parent holds the other end of stdin: when it ends for any reason, this process ends too and deletes its folder.
const leave = () => {
  if (process.env.SANDBOX_FOLDER) fs.rmSync(process.env.SANDBOX_FOLDER, { recursive: true, force: true });
  process.exit(0);
};
process.stdin.on('end', leave).on('error', leave).resume();
