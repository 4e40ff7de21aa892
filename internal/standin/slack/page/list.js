// A scrolling list of messages that changes in place: a message that did not
// change keeps its node, and with it the focus and what was opened in it.

import { h, icon } from './dom.js';
import { dayKey, dayTitle, fromTS } from './dates.js';
import { message } from './message.js';

const NEAR = 60; // pixels from the end that count as being there
const GROUP_MS = 5 * 60_000; // messages of one author nearer than this share a face

export class MessageList {
  #nodes = new Map(); // key -> { node, signature }
  #follow = true; // the reader is at the end and wants to stay there
  #place = ''; // what is shown; a change starts at the end again
  #left = 0; // where this list, and not the reader, scrolled to

  constructor(box, app) {
    Object.assign(this, { box, app });
    this.latest = h('button', { type: 'button', class: 'latest', hidden: true, on: { click: () => this.#toEnd() } }, icon('down-arrow'), 'Latest');
    box.after(this.latest);
    box.addEventListener('scroll', () => this.#scrolled());
    box.addEventListener('load', () => this.#settle(), true); // images grow when they arrive
    new ResizeObserver(() => this.#settle()).observe(box);
  }

  // show draws messages. place names what they belong to; lead are nodes before
  // the first one.
  show(place, messages, { inThread = false, lead = [] } = {}) {
    if (place !== this.#place) {
      this.#place = place;
      this.#follow = true;
      this.#nodes.clear();
      this.box.replaceChildren();
    }
    const last = [...this.#nodes.keys()].at(-1);
    const rows = rowsOf(messages, inThread);
    this.#reconcile(rows, lead, inThread);
    if (this.#follow || last !== rows.at(-1)?.key) this.#settle();
    this.#scrolled();
  }

  #reconcile(rows, lead, inThread) {
    const seen = new Map();
    for (const row of rows) {
      const old = this.#nodes.get(row.key);
      const signature = JSON.stringify([row.message ?? row.key, row.compact, this.app.store.me]);
      const node = old?.signature === signature ? old.node : this.#draw(row, old?.node, inThread);
      seen.set(row.key, { node, signature });
    }
    this.#nodes = seen;
    replaceInPlace(this.box, [...lead, ...[...seen.values()].map((v) => v.node)]);
  }

  #draw(row, old, inThread) {
    if (row.day) return h('div', { class: 'day', role: 'separator' }, h('span', null, row.day));
    if (row.count !== undefined) return h('div', { class: 'count', role: 'separator' }, h('span', null, row.count === 1 ? '1 reply' : `${row.count} replies`));
    const node = message(row.message, this.app, { compact: row.compact, inThread });
    if (old) carry(old, node);
    else node.classList.add('fresh');
    return node;
  }

  // settle keeps the end in view, but never pushes the head of the last
  // message out at the top.
  #settle() {
    if (!this.#follow) return;
    const last = this.box.querySelector(':scope > :last-child');
    if (!last) return;
    const end = this.box.scrollHeight - this.box.clientHeight;
    this.box.scrollTop = Math.min(end, last.offsetTop - this.box.offsetTop - 2);
    this.#left = this.box.scrollTop;
  }

  // scrolled finds out whether the reader went away from the end.
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const toEnd = scrollHeight - scrollTop - clientHeight;
    if (Math.abs(scrollTop - this.#left) > 2) this.#follow = toEnd < NEAR;
    this.latest.hidden = toEnd < 2 * NEAR;
  }

  #toEnd() {
    this.#follow = true;
    this.box.scrollTop = this.box.scrollHeight;
    this.#left = this.box.scrollTop;
    this.box.focus();
  }
}

// rowsOf puts a line between days, and tells which messages stand without a
// face of their own.
function rowsOf(messages, inThread) {
  const rows = [];
  let before = null;
  for (const m of messages) {
    const date = fromTS(m.ts);
    const newDay = !before || dayKey(fromTS(before.ts)) !== dayKey(date);
    if (newDay && !inThread) rows.push({ key: `day-${dayKey(date)}-${dayTitle(date)}`, day: dayTitle(date) });
    const root = inThread && !before;
    rows.push({ key: (m.ephemeral ? 'only-' : '') + m.ts, message: m, compact: !newDay && joins(before, m) });
    if (root && messages.length > 1) rows.push({ key: `count-${messages.length}`, count: messages.filter((x) => !x.ephemeral).length - 1 });
    before = root ? null : m;
  }
  return rows;
}

function joins(before, m) {
  return before.user === m.user && !before.username && !m.username && before.ephemeral === m.ephemeral
    && !before.reply_count && !m.broadcast && fromTS(m.ts) - fromTS(before.ts) < GROUP_MS;
}

// carry keeps what the reader opened, and the focus, over a new version.
function carry(old, node) {
  old.querySelectorAll('details').forEach((d, i) => {
    const twin = node.querySelectorAll('details')[i];
    if (twin) twin.open = d.open;
  });
  const action = document.activeElement?.dataset?.action;
  if (action && old.contains(document.activeElement)) {
    queueMicrotask(() => node.querySelector(`[data-action="${CSS.escape(action)}"]`)?.focus());
  }
}

// replaceInPlace makes nodes the children of box and moves only what must
// move: a moved node would lose its focus.
function replaceInPlace(box, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...box.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, i) => {
    if (box.children[i] !== node) box.insertBefore(node, box.children[i] ?? null);
  });
}
