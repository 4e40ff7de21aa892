// A server for the page that has no workspace behind it: the files as they are,
// and the other end of the page's socket played by the test.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { basename, extname } from 'node:path';
import { check } from './browser.mjs';
import { message, state } from './fixtures.mjs';

const PAGE = new URL('../../internal/standin/slack/page/', import.meta.url);
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };
const SCENARIOS = { current: 'node-to-node-sg-blocked', scenarios: [
  { name: 'node-to-node-sg-blocked', title: 'A security group rule between node groups was removed: checkout cannot reach its database.', ask: 'checkout times out to payments-db' },
  { name: 'coredns-zero-ready', title: 'CoreDNS has no ready pod.', ask: 'DNS failure' }] };

// serveFiles answers the page's files and the demo's list of scenarios.
export async function serveFiles() {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path.startsWith('/demo/')) return response.writeHead(200, { 'Content-Type': TYPES['.json'] }).end(JSON.stringify(SCENARIOS));
    try {
      const file = { '/': 'index.html', '/files/F0PLOT': 'icon.svg' }[path] ?? basename(path);
      const body = await readFile(fileURLToPath(new URL(file, PAGE)));
      return response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      return response.writeHead(404).end();
    }
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return { server, base: `http://127.0.0.1:${server.address().port}/` };
}

// Workspace plays the server's side of the socket for one page.
export class Workspace {
  received = [];
  socket = null;
  connections = 0;
  more = [];

  async attach(page) {
    await page.routeWebSocket(/\/page\/ws/, (socket) => {
      this.connections += 1;
      this.socket = socket;
      const user = new URL(socket.url()).searchParams.get('user') || 'UANA';
      socket.onMessage((text) => this.#answer(JSON.parse(text)));
      this.send(state(user, this.more));
    });
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  of(type) {
    return this.received.filter((r) => r.type === type);
  }

  // got waits for a request of a type that passes the test, and returns it.
  async got(type, test, sentence) {
    for (let i = 0; i < 60; i++) {
      const found = this.of(type).findLast(test);
      if (found) return check(true, sentence);
      await new Promise((done) => { setTimeout(done, 50); });
    }
    return check(false, `${sentence} (came: ${JSON.stringify(this.received.slice(-3))})`);
  }

  #answer(request) {
    this.received.push(request);
    if (request.type === 'switch_user') this.send(state(request.user, this.more));
    if (request.type === 'say') this.send({ type: 'message', message: message('UANA', 100, { text: request.text, channel: request.channel, thread_ts: request.thread_ts }) });
    if (request.type === 'press') this.send({ type: 'pressed', re: request.re, channel: request.channel ?? '', ts: request.ts ?? '', action_id: request.action_id, ok: request.action_id !== 'lost' });
  }
}
