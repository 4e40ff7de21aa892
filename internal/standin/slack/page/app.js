// The page: it joins the store, the connection and the parts that draw.

import { h, icon } from './dom.js';
import { Store, isReply } from './state.js';
import { Connection } from './socket.js';
import { MessageList } from './list.js';
import { Composer } from './composer.js';
import { Modals } from './modals.js';
import { DemoBar } from './demobar.js';
import { Reading } from './reading.js';
import { sidebar } from './sidebar.js';
import { hint } from './hints.js';
import { avatar, nameOf } from './avatar.js';
import { toast } from './dialogs.js';
import { Requests, fileURL } from './requests.js';

const $ = (id) => document.getElementById(id);
const USER_KEY = 'hopwise-user';

const store = new Store();
const reading = new Reading();
let drawing = false; // a redraw is queued
let ownRoot = ''; // ts of the last message that this user said in a channel, until its thread opened
let ownCommand = false; // a command was sent and its answer has not come yet

// names says what ids are called, for this reader.
const names = {
  user: (id) => store.users.has(id) && nameOf(store.users.get(id)),
  channel: (id) => store.channels.get(id)?.name,
  group: (id) => store.groups.get(id)?.handle,
  me: () => store.me,
  inGroup: (id) => store.groups.get(id)?.users.includes(store.me),
};

const connection = new Connection({ user: chosenUser(), frame: received, status: connected });
const requests = new Requests(store, connection, names, { onCommand: () => { ownCommand = true; }, changed: redraw });

// app is what a drawn message may use and do.
const app = { store, openThread, hostOf: (m) => requests.hostOf(m), edit: (m) => requests.edit(m), remove: (m) => requests.remove(m) };

const suggestions = (word, atStart) => requests.suggestions(word, atStart);
const channelList = new MessageList($('channel-list'), app);
const threadList = new MessageList($('thread-list'), app);
const composer = new Composer($('composer'), { send: (text) => requests.post(text, place().channel), suggestions, label: 'Message' });
const threadComposer = new Composer($('thread-composer'), { send: (text) => requests.post(text, place().channel, place().thread), suggestions, label: 'Reply' });
const modals = new Modals({ names, fileURL }, {
  press: (view, action) => requests.press({ view_id: view }, action),
  submit: (view, values) => connection.ask({ type: 'submit_view', view_id: view, values }),
  close: (view) => requests.closeView(view),
});
const demobar = new DemoBar($('demobar'), {
  say: sayFromBar,
  switchUser,
  reloaded: () => { go(place().channel, ''); connection.reload(); },
});

// --- where the reader is: #channel or #channel/thread ---

function place() {
  const [channel = '', thread = ''] = location.hash.slice(1).split('/');
  return { channel, thread };
}

function go(channel, thread) {
  const hash = `#${channel}${thread ? `/${thread}` : ''}`;
  if (location.hash !== hash) history.pushState(null, '', hash);
  redraw();
}

function openThread(channel, root, byHand = false) {
  go(channel, root);
  if (byHand && !store.channels.get(channel)?.is_archived) requestAnimationFrame(() => focusUnlessTouch(threadComposer));
}

function closeThread() {
  go(place().channel, '');
  focusUnlessTouch(composer);
}

// focusUnlessTouch spares a phone the keyboard that would cover the page.
function focusUnlessTouch(box) {
  if (matchMedia('(hover: hover)').matches) box.focus();
}

// chosenUser is who this tab looked as before, or whom its address names. The
// address then forgets the name: a reload must not undo a later switch.
function chosenUser() {
  const url = new URL(location);
  const named = url.searchParams.get('user');
  if (!named) return sessionStorage.getItem(USER_KEY) ?? '';
  url.searchParams.delete('user');
  history.replaceState(null, '', url);
  sessionStorage.setItem(USER_KEY, named);
  return named;
}

function switchUser(user) {
  if (user === store.me) return;
  sessionStorage.setItem(USER_KEY, user);
  ownRoot = '';
  if (!connection.send({ type: 'switch_user', user })) connection.user = user; // for when it opens again
}

// --- what comes from the server ---

function received(frame) {
  store.apply(frame);
  if (frame.type === 'error') toast(frame.message || frame.error);
  if (frame.type === 'view_errors') modals.errors(frame.errors ?? {});
  if (frame.type === 'message') noticed(frame.message);
  redraw();
}

// noticed opens the thread in which the bot answers this user.
function noticed(m) {
  if (m.user === store.me && !isReply(m)) ownRoot = m.ts;
  if (m.user !== store.workspace.bot_user || m.channel !== place().channel) return;
  if (ownCommand && !isReply(m)) {
    ownCommand = false;
    ownRoot = m.ts;
  }
  if (isReply(m) && m.thread_ts === ownRoot) {
    ownRoot = '';
    go(m.channel, m.thread_ts);
  }
}

function connected(open) {
  const bar = $('offline');
  if (open && !bar.hidden) demobar.load(); // the server may have come back with another world
  bar.hidden = open;
  bar.textContent = open ? '' : 'Connection lost. Reconnecting…';
}

// sayFromBar types a phrase into the channel's box and sends it, so that the
// visitor sees what happens. Only where the bot listens.
function sayFromBar(text) {
  const here = store.channels.get(place().channel);
  if (!here || here.is_archived || !here.has_bot) go(firstChannel(), '');
  redrawNow();
  composer.set(text);
  setTimeout(() => { if (requests.post(text, place().channel)) composer.set(''); }, 350);
}

// --- drawing ---

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { if (drawing) redrawNow(); });
}

function firstChannel() {
  const list = [...store.channels.values()];
  return (list.find((c) => c.has_bot && !c.is_im && !c.is_archived) ?? list[0])?.id ?? '';
}

function redrawNow() {
  drawing = false;
  if (!store.loaded) return;
  if (!store.channels.has(place().channel)) history.replaceState(null, '', `#${firstChannel()}`);
  const { channel, thread } = place();
  if (document.visibilityState === 'visible') reading.mark(store, channel);
  const unread = (id) => (id === channel ? 0 : reading.unread(store, id));
  sidebar($('sidebar'), { store, channel, unread, pick: (id) => { drawer(false); go(id, ''); } });
  drawChannel(store.channels.get(channel));
  const inThread = drawThread(channel, thread);
  modals.show(store.views);
  demobar.show(store, hint(store, inThread));
  const waiting = [...store.channels.keys()].reduce((sum, id) => sum + unread(id), 0);
  document.title = `${waiting ? `(${waiting}) ` : ''}${titleOf(store.channels.get(channel))} · ${store.workspace.name}`;
}

function titleOf(c) {
  return c.is_im ? c.name : `#${c.name}`;
}

// fill gives box new children when what they show has changed: a node that
// stays keeps the focus.
function fill(box, shown, build) {
  const key = JSON.stringify(shown);
  if (box.dataset.shown === key) return;
  box.dataset.shown = key;
  box.replaceChildren(...[build()].flat().filter(Boolean));
}

function drawChannel(c) {
  fill($('channel-head'), c, () => [
    h('button', { type: 'button', class: 'icon-only menu', 'aria-label': 'Show channels', on: { click: () => drawer(true) } }, icon('menu')),
    h('div', { class: 'titles' },
      h('h2', null, c.is_im ? null : icon(c.is_private ? 'lock' : 'hash'), c.name),
      c.topic && h('p', { class: 'topic' }, c.topic))]);
  channelList.show(`${store.me}/${c.id}`, store.inChannel(c.id), { lead: [intro(c)] });
  drawFooter($('composer'), composer, c, `${store.me}/${c.id}`, c.is_im ? `Message ${c.name}` : `Message #${c.name}`);
}

const intros = new Map(); // one node per channel and state of it: a node that stays is not read out again

function intro(c) {
  const key = `${c.id} ${c.has_bot}`;
  if (!intros.has(key)) {
    intros.set(key, h('div', { class: 'intro' },
      c.is_im ? avatar(store.users.get(store.workspace.bot_user), { isApp: true }) : h('span', { class: 'intro-mark' }, icon(c.is_private ? 'lock' : 'hash')),
      h('div', null, h('h3', null, titleOf(c)), h('p', null, introOf(c)))));
  }
  return intros.get(key);
}

function introOf(c) {
  if (c.is_im) return `This is between you and ${c.name}. Say what does not connect.`;
  return c.has_bot ? 'Say here what does not connect. Hopwise looks for the cause and answers in a thread.' : `This is the start of ${titleOf(c)}.`;
}

// drawFooter shows the message box, or why there is none.
function drawFooter(box, which, c, draft, label) {
  if (!box.querySelector(':scope > .notice')) box.prepend(h('div', { class: 'notice' }));
  fill(box.querySelector(':scope > .notice'), [c.id, c.is_archived, c.has_bot], () => noticeOf(c));
  box.dataset.closed = c.is_archived ? 'yes' : '';
  which.at(draft, label);
}

function noticeOf(c) {
  if (c.is_archived) return [h('p', null, 'This channel is archived. Nobody can write in it.')];
  if (c.has_bot || c.is_im) return [];
  return [h('p', null, 'Hopwise is not in this channel and hears nothing here.'), h('button', { type: 'button', class: 'button', on: { click: () => connection.send({ type: 'invite', channel: c.id }) } }, 'Add Hopwise')];
}

// drawThread shows the panel on the right and returns its messages.
function drawThread(channel, root) {
  const messages = root ? store.inThread(channel, root) : [];
  const open = messages.some((m) => m.ts === root);
  $('thread').hidden = !open;
  document.body.dataset.thread = open ? 'open' : '';
  if (!open) return [];
  const c = store.channels.get(channel);
  fill($('thread-head'), [c, root], () => [
    h('button', { type: 'button', class: 'icon-only back', 'aria-label': 'Back to the channel', on: { click: closeThread } }, icon('back')),
    h('div', { class: 'titles' }, h('h2', null, 'Thread'), h('p', { class: 'topic' }, titleOf(c))),
    h('button', { type: 'button', class: 'icon-only close', 'aria-label': 'Close thread', on: { click: closeThread } }, icon('close'))]);
  threadList.show(`${store.me}/${channel}/${root}`, messages, { inThread: true });
  drawFooter($('thread-composer'), threadComposer, c, `${store.me}/${channel}/${root}`, 'Reply…');
  return messages;
}

// drawer opens and closes the channel list on a narrow screen.
function drawer(open) {
  document.body.dataset.drawer = open ? 'open' : '';
  if (open) $('sidebar').querySelector('.current')?.focus();
}

$('scrim').addEventListener('click', () => drawer(false));
document.addEventListener('keydown', (event) => { if (event.key === 'Escape') drawer(false); });
$('thread').addEventListener('keydown', (event) => { if (event.key === 'Escape' && !event.defaultPrevented) closeThread(); });
window.addEventListener('popstate', redraw);
window.addEventListener('hashchange', redraw);
document.addEventListener('visibilitychange', redraw);
connection.open();
demobar.load();
