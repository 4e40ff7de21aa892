// One message as a node: who, when, what, and what may be done with it.

import { append, h, icon, safeURL } from './dom.js';
import { avatar, nameOf } from './avatar.js';
import { blocks } from './blockkit.js';
import { emojiOf } from './emoji.js';
import { mrkdwn, plain } from './mrkdwn.js';
import { ago, clock, clockWithSeconds, fromTS } from './dates.js';
import { isReply } from './state.js';

// message draws m. app gives names, what buttons do and who is looking:
// see the page object in app.js. In the channel view the thread's counter is
// shown under its parent; compact leaves face and name out.
export function message(m, app, { compact = false, inThread = false } = {}) {
  const user = app.store.users.get(m.user);
  const isApp = m.user === app.store.workspace.bot_user;
  const classes = ['message', compact && 'compact', m.ephemeral && 'ephemeral', isApp && 'from-app'].filter(Boolean).join(' ');
  return h('article', { class: classes, dataset: { ts: m.ts }, 'aria-label': `${m.username || nameOf(user)}, ${clock(fromTS(m.ts))}` },
    h('div', { class: 'gutter' }, compact ? timeOf(m) : avatar(m.username ? { id: m.username, real_name: m.username } : user, { isApp })),
    h('div', { class: 'content' },
      m.ephemeral && h('p', { class: 'only-you' }, icon('eye'), 'Only visible to you'),
      m.broadcast && !inThread && h('p', { class: 'only-you' }, icon('reply'), 'Also sent as a reply in a thread'),
      !compact && byline(m, user),
      body(m, app),
      files(m),
      reactions(m, app),
      !inThread && m.reply_count > 0 && repliesBar(m, app)),
    !m.ephemeral && toolbar(m, app, inThread));
}

function byline(m, user) {
  const isBot = user?.is_bot || m.username;
  return h('p', { class: 'byline' },
    h('b', null, m.username || nameOf(user)),
    isBot && h('span', { class: 'badge' }, 'APP'),
    user?.is_guest && h('span', { class: 'badge guest' }, 'Guest'),
    user?.is_other_team && h('span', { class: 'badge guest' }, 'Other workspace'),
    timeOf(m));
}

function timeOf(m) {
  const date = fromTS(m.ts);
  return h('time', { class: 'time', datetime: date.toISOString(), title: clockWithSeconds(date) }, clock(date));
}

function body(m, app) {
  const host = app.hostOf(m);
  const hasBlocks = Array.isArray(m.blocks) && m.blocks.length > 0;
  const content = hasBlocks
    ? h('div', { class: 'blocks' }, blocks(m.blocks, host))
    : h('div', { class: 'mrkdwn' }, mrkdwn(m.text, host.names));
  if (m.edited) tail(content).append(' ', h('span', { class: 'edited' }, '(edited)'));
  return [content, (Array.isArray(m.attachments) ? m.attachments : []).map((a) => attachment(a, host))];
}

// tail is where "(edited)" goes: the last line of text.
function tail(content) {
  const last = content.lastElementChild;
  return last?.classList.contains('lines') ? last.lastElementChild : content;
}

// attachment draws the older form that alert bots use: a coloured edge with
// title, text and fields.
function attachment(a, host) {
  const colour = /^#?[0-9a-f]{6}$/i.test(a.color ?? '') ? `#${a.color.replace('#', '')}` : COLOURS[a.color];
  const address = safeURL(a.title_link ?? '');
  return h('div', { class: 'attachment', style: colour && { '--edge': colour } },
    a.pretext && h('div', { class: 'mrkdwn' }, mrkdwn(a.pretext, host.names)),
    a.title && h('p', { class: 'attachment-title' }, address ? h('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, plain(a.title)) : plain(a.title)),
    a.blocks ? h('div', { class: 'blocks' }, blocks(a.blocks, host)) : h('div', { class: 'mrkdwn' }, mrkdwn(a.text ?? a.fallback ?? '', host.names)),
    a.fields && h('div', { class: 'b-fields' }, a.fields.map((f) => h('div', { class: 'mrkdwn' }, h('b', null, f.title), mrkdwn(f.value, host.names)))));
}

const COLOURS = { good: '#2eb67d', warning: '#d69e00', danger: '#e01e5a' };

function files(m) {
  return (m.files ?? []).map((f) => {
    const address = f.url?.startsWith('/') ? f.url : safeURL(f.url ?? '');
    if (f.mimetype?.startsWith('image/')) {
      return h('figure', { class: 'b-image' }, h('figcaption', null, f.title || f.name),
        h('a', { href: address, target: '_blank', rel: 'noopener' }, h('img', { src: address, alt: f.alt_txt || f.title || f.name, loading: 'lazy' })));
    }
    return h('a', { class: 'file', href: address, target: '_blank', rel: 'noopener', download: f.name },
      icon('clip'), h('span', null, h('b', null, f.title || f.name), h('small', null, sizeOf(f.size))));
  });
}

function sizeOf(bytes) {
  return bytes < 1024 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(bytes < 10_240 ? 1 : 0)} KB`;
}

function reactions(m, app) {
  if (!m.reactions?.length) return null;
  return h('ul', { class: 'reactions', 'aria-label': 'Reactions' }, m.reactions.map((r) => {
    const who = (r.users ?? []).map((u) => nameOf(app.store.users.get(u))).join(', ');
    return h('li', { class: r.users?.includes(app.store.me) ? 'mine' : null, title: `${who} reacted with :${r.name}:` },
      h('span', { role: 'img', 'aria-label': r.name.replaceAll('_', ' ') }, emojiOf(r.name) || `:${r.name}:`), ` ${r.count}`);
  }));
}

function repliesBar(m, app) {
  const count = m.reply_count === 1 ? '1 reply' : `${m.reply_count} replies`;
  return h('button', { type: 'button', class: 'replies', on: { click: () => app.openThread(m.channel, m.ts, true) } },
    h('span', { class: 'faces' }, (m.reply_users ?? []).slice(0, 4).map((id) => avatar(app.store.users.get(id), { isApp: id === app.store.workspace.bot_user, small: true }))),
    h('b', null, count),
    m.latest_reply && h('span', { class: 'muted' }, `Last reply ${ago(fromTS(m.latest_reply))}`));
}

function toolbar(m, app, inThread) {
  const tool = (label, shape, press) => h('button', { type: 'button', 'aria-label': label, title: label, on: { click: press } }, icon(shape));
  const mine = m.user === app.store.me;
  const tools = [
    !inThread && tool('Reply in thread', 'reply', () => app.openThread(m.channel, isReply(m) ? m.thread_ts : m.ts, true)),
    mine && tool('Edit message', 'edit', () => app.edit(m)),
    mine && tool('Delete message', 'trash', () => app.remove(m)),
  ].filter(Boolean);
  return tools.length > 0 && append(h('div', { class: 'toolbar', role: 'group', 'aria-label': 'Message actions' }), tools);
}
