// The left column: workspace, channels, direct messages, who is looking.

import { h, icon } from './dom.js';
import { avatar, nameOf } from './avatar.js';

// sidebar draws into box. pick(id) is called for a press on a channel.
export function sidebar(box, { store, channel, unread, pick }) {
  const all = [...store.channels.values()];
  const item = (c) => channelItem(c, store, c.id === channel, unread(c.id), pick);
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.channel : '';
  box.replaceChildren(
    h('div', { class: 'workspace-name' }, h('strong', null, store.workspace.name), botState(store.bot)),
    group('Channels', all.filter((c) => !c.is_im).map(item)),
    group('Direct messages', all.filter((c) => c.is_im).map(item)),
    whoIsLooking(store));
  if (focused) box.querySelector(`[data-channel="${CSS.escape(focused)}"]`)?.focus();
}

function group(title, items) {
  return items.length > 0 && h('section', { 'aria-label': title }, h('h2', null, title), h('ul', null, items));
}

function channelItem(c, store, current, unread, pick) {
  const label = unread ? `${c.name}, ${unread} unread` : c.name;
  return h('li', null, h('button', {
    type: 'button', dataset: { channel: c.id }, class: [current && 'current', unread > 0 && 'unread'].filter(Boolean).join(' '),
    'aria-current': current ? 'page' : null, 'aria-label': c.is_archived ? `${label}, archived` : label, on: { click: () => pick(c.id) },
  }, c.is_im ? avatar(store.users.get(store.workspace.bot_user), { isApp: true, small: true }) : icon(c.is_private ? 'lock' : 'hash'),
  h('span', { class: 'name' }, c.name),
  c.is_archived && h('span', { class: 'aside' }, 'archived'),
  unread > 0 && h('span', { class: 'unread-count', 'aria-hidden': 'true' }, unread)));
}

function botState(connections) {
  const text = connections > 0 ? 'Hopwise is online' : 'Hopwise is not running';
  return h('span', { class: connections > 0 ? 'bot-state on' : 'bot-state', title: `${connections} open connections` }, text);
}

function whoIsLooking(store) {
  const me = store.users.get(store.me);
  return h('div', { class: 'who' }, avatar(me, { small: true }), h('span', null, `You are ${nameOf(me)}`));
}
