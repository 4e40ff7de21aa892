// What this page knows of the workspace: the last state frame, and every frame
// since applied to it.

// Store applies frames. It draws nothing and sends nothing.
export class Store {
  me = '';
  workspace = { name: '', commands: [] };
  users = new Map();
  groups = new Map();
  channels = new Map();
  messages = new Map(); // channel id -> Map of ts -> message
  ephemerals = new Map(); // the same, for what only this user sees
  views = [];
  bot = 0;
  loaded = false;

  // apply takes one frame from the server. Frames of unknown type are skipped.
  apply(frame) {
    const apply = Object.hasOwn(FRAMES, frame.type) ? FRAMES[frame.type] : null;
    apply?.(this, frame);
  }

  // inChannel lists what the channel view shows: everything but replies.
  inChannel(channel) {
    return this.#sorted(channel, (m) => !isReply(m) || m.broadcast);
  }

  // inThread lists a thread's parent and replies.
  inThread(channel, root) {
    return this.#sorted(channel, (m) => m.ts === root || m.thread_ts === root);
  }

  message(channel, ts) {
    return this.messages.get(channel)?.get(ts) ?? this.ephemerals.get(channel)?.get(ts);
  }

  #sorted(channel, keep) {
    const all = [...(this.messages.get(channel)?.values() ?? []), ...(this.ephemerals.get(channel)?.values() ?? [])];
    return all.filter(keep).sort((a, b) => compareTS(a.ts, b.ts));
  }
}

// isReply tells a thread's reply from its parent.
export function isReply(message) {
  return Boolean(message.thread_ts) && message.thread_ts !== message.ts;
}

// compareTS orders by time. A ts has six digits after the point: comparing as
// numbers would lose the last ones.
export function compareTS(a, b) {
  const [left, right] = [a, b].map((ts) => ts.split('.'));
  return Number(left[0]) - Number(right[0]) || Number(left[1] ?? 0) - Number(right[1] ?? 0);
}

const FRAMES = {
  state(store, frame) {
    Object.assign(store, { me: frame.me, workspace: frame.workspace, views: frame.views ?? [], bot: frame.bot, loaded: true });
    store.users = byID(frame.users);
    store.groups = byID(frame.groups);
    store.channels = byID(frame.channels);
    store.ephemerals = new Map();
    store.messages = new Map(Object.entries(frame.messages ?? {}).map(([channel, list]) => [channel, new Map((list ?? []).map((m) => [m.ts, m]))]));
  },
  message: (store, { message }) => put(store.messages, message),
  message_changed: (store, { message }) => put(store.messages, message),
  message_deleted: (store, frame) => store.messages.get(frame.channel)?.delete(frame.ts),
  ephemeral: (store, { message }) => put(store.ephemerals, message),
  ephemeral_gone: (store, frame) => store.ephemerals.get(frame.channel)?.delete(frame.ts),
  reaction(store, frame) {
    const message = store.messages.get(frame.channel)?.get(frame.ts);
    if (message) put(store.messages, { ...message, reactions: frame.reactions });
  },
  view: (store, { view }) => { store.views = [...store.views.filter((v) => v.id !== view.id), view]; },
  view_update: (store, { view }) => { store.views = store.views.map((v) => (v.id === view.id ? view : v)); },
  view_close: (store, frame) => { store.views = store.views.filter((v) => !frame.view_ids.includes(v.id)); },
  channel: (store, { channel }) => store.channels.set(channel.id, channel),
  bot: (store, frame) => { store.bot = frame.connections; },
};

function byID(list) {
  return new Map((list ?? []).map((item) => [item.id, item]));
}

function put(channels, message) {
  if (!channels.has(message.channel)) channels.set(message.channel, new Map());
  channels.get(message.channel).set(message.ts, message);
}
