// What each user has read, kept in the browser, for the unread badges.

import { compareTS } from './state.js';

const KEY = 'hopwise-read';

export class Reading {
  #read = load();

  // unread counts what others wrote in a channel since it was last looked at.
  // A channel that was never looked at starts as read.
  unread(store, channel) {
    const since = this.#of(store.me)[channel];
    if (since === undefined) {
      this.mark(store, channel);
      return 0;
    }
    return store.inChannel(channel).filter((m) => !m.ephemeral && m.user !== store.me && compareTS(m.ts, since) > 0).length;
  }

  mark(store, channel) {
    const last = store.inChannel(channel).filter((m) => !m.ephemeral).at(-1)?.ts ?? '0.0';
    const mine = this.#of(store.me);
    if (mine[channel] === last) return;
    mine[channel] = last;
    try {
      sessionStorage.setItem(KEY, JSON.stringify(this.#read));
    } catch {
      // A browser that stores nothing shows the badges of this visit only.
    }
  }

  #of(user) {
    this.#read[user] ??= {};
    return this.#read[user];
  }
}

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? '{}');
  } catch {
    return {};
  }
}
