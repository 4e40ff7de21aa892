// The connection to the workspace. It opens again by itself after a loss; the
// first frame of each connection is the whole state, so nothing is missed.

const FIRST_WAIT = 400; // ms
const LONGEST_WAIT = 8000;
const ANSWER_WITHIN = 6000; // the server gives the app 3 s

export class Connection {
  #socket = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #next = 1;
  #known = false; // the server has taken this user
  #waiting = new Map(); // re -> resolve

  // frame(frame) gets every frame; status(open, reconnectInMS) every change.
  constructor({ user, frame, status }) {
    Object.assign(this, { user, onFrame: frame, onStatus: status });
    window.addEventListener('online', () => this.open());
  }

  // open connects now, unless a connection is open or on its way.
  open() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    const url = new URL('page/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    if (this.user) url.searchParams.set('user', this.user);
    const socket = new WebSocket(url);
    socket.addEventListener('message', (event) => this.#received(event.data));
    socket.addEventListener('close', () => this.#closed());
    this.#socket = socket;
  }

  // reload drops the connection and opens a new one, for a fresh state.
  reload() {
    this.#wait = 0;
    this.#socket?.close();
  }

  // send puts a request on the wire and says whether it went out.
  send(request) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(request));
    return true;
  }

  // ask sends a request that the server answers with a frame of the same
  // "re". It resolves with that frame, or with an error frame of its own.
  ask(request) {
    const re = `p${this.#next++}`;
    return new Promise((resolve) => {
      this.#waiting.set(re, resolve);
      if (!this.send({ ...request, re })) this.#settle(re, failure('offline', 'Not connected. Try again in a moment.'));
      setTimeout(() => this.#settle(re, failure('no_answer', 'The workspace did not answer. Try again.')), ANSWER_WITHIN);
    });
  }

  #received(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      console.warn('a frame that is not JSON was skipped');
      return;
    }
    if (frame.type === 'state') {
      this.#wait = FIRST_WAIT;
      this.user = frame.me;
      this.#known = true;
      this.onStatus(true, 0);
    }
    if (!frame.re || !this.#settle(frame.re, frame)) this.onFrame(frame);
  }

  #settle(re, frame) {
    const resolve = this.#waiting.get(re);
    this.#waiting.delete(re);
    resolve?.(frame);
    return Boolean(resolve);
  }

  #closed() {
    this.#socket = null;
    if (!this.#known) this.user = ''; // a user of an earlier workspace, perhaps: take the server's first
    for (const re of [...this.#waiting.keys()]) this.#settle(re, failure('offline', 'The connection was lost. Try again.'));
    const wait = this.#wait * (0.75 + Math.random() / 2);
    if (wait > 0) this.onStatus(false, wait);
    this.#timer = setTimeout(() => this.open(), wait);
    this.#wait = Math.min(Math.max(this.#wait, FIRST_WAIT) * 2, LONGEST_WAIT);
  }
}

function failure(error, message) {
  return { type: 'error', error, message };
}
