// Slack's mrkdwn to DOM nodes. The input is untrusted: every piece of it ends
// in a text node, and a link is made only for the schemes that safeURL allows.

import { h, safeURL } from './dom.js';
import { emojiOf } from './emoji.js';
import { formatDate } from './dates.js';

const WORD = /[\p{L}\p{N}_]/u;
const SPAN_TAGS = { '*': 'strong', _: 'em', '~': 's' };
const SPAN_MAX = 1000; // characters between two marks
const BARE_URL = /^https?:\/\/[^\s<>|"`]+/;

// decode turns Slack's three entities back into characters, once.
export function decode(text) {
  return text.replace(/&(amp|lt|gt);/g, (_, name) => ({ amp: '&', lt: '<', gt: '>' })[name]);
}

// typed turns a message's text back into what a person would type.
export function typed(text, store) {
  return decode(text
    .replace(/<@(\w+)(?:\|[^>]*)?>/g, (whole, id) => (store.users.has(id) ? `@${store.users.get(id).name}` : whole))
    .replace(/<#(\w+)(?:\|[^>]*)?>/g, (whole, id) => (store.channels.has(id) ? `#${store.channels.get(id).name}` : whole))
    .replace(/<((?:https?|mailto):[^|>]+)(?:\|[^>]*)?>/g, '$1'));
}

// mrkdwn renders a whole text: code fences, quotes, lists and lines.
// names says what ids are called: user(id), channel(id), group(id), me().
export function mrkdwn(text, names) {
  const out = document.createDocumentFragment();
  const parts = String(text ?? '').split(/```([\s\S]*?)```/);
  parts.forEach((part, i) => {
    if (i % 2 === 1) out.append(pre(part));
    else if (part.trim() || parts.length === 1) out.append(lines(trimAroundFence(part, i, parts.length), names));
  });
  return out;
}

// plain renders plain_text: emoji if wanted, nothing else.
export function plain(object) {
  const out = document.createDocumentFragment();
  const text = typeof object === 'string' ? object : String(object?.text ?? '');
  if (object?.emoji === false) out.append(text);
  else out.append(...withEmoji(text));
  return out;
}

// textObject renders a mrkdwn or plain_text object.
export function textObject(object, names) {
  return object?.type === 'mrkdwn' ? mrkdwn(object.text, names) : h('span', { class: 'plain' }, plain(object));
}

function trimAroundFence(part, i, count) {
  let text = part;
  if (i > 0) text = text.replace(/^\n/, '');
  if (i < count - 1) text = text.replace(/\n$/, '');
  return text;
}

function pre(body) {
  const shown = body.replace(/^\n/, '').replace(/\n$/, '');
  return h('pre', { tabindex: '0', class: 'code-block' }, h('code', null, codeText(shown)));
}

// codeText shows the label of a link and the address of a bare one, as Slack
// does inside code.
function codeText(body) {
  return decode(body.replace(/<(https?:[^<>|]+)(?:\|([^<>]*))?>/g, (_, url, label) => label || url));
}

const LINE_KINDS = [
  { kind: 'quote', match: /^(?:&gt;|>) ?(.*)$/ },
  { kind: 'ul', match: /^\s{0,4}[•◦▪-] +(.*)$/ },
  { kind: 'ol', match: /^\s{0,4}\d{1,3}\. +(.*)$/ },
];

function classify(line) {
  for (const { kind, match } of LINE_KINDS) {
    const m = line.match(match);
    if (m) return { kind, text: m[1], start: parseInt(line, 10) };
  }
  return { kind: 'text', text: line };
}

function lines(text, names) {
  const out = document.createDocumentFragment();
  for (const group of grouped(text.split('\n').map(classify))) out.append(groupNode(group, names));
  return out;
}

// grouped joins neighbours of the same kind.
function grouped(items) {
  const groups = [];
  for (const item of items) {
    const last = groups.at(-1);
    if (last?.kind === item.kind) last.items.push(item);
    else groups.push({ kind: item.kind, items: [item] });
  }
  return groups;
}

function groupNode({ kind, items }, names) {
  if (kind === 'ul') return h('ul', null, items.map((i) => h('li', null, inline(i.text, names))));
  if (kind === 'ol') return h('ol', { start: items[0].start }, items.map((i) => h('li', null, inline(i.text, names))));
  const body = items.map((i) => h('span', { class: i.text === '' ? 'line blank' : 'line' }, inline(i.text, names)));
  return kind === 'quote' ? h('blockquote', null, body) : h('div', { class: 'lines' }, body);
}

// inline renders one line: code, tokens in angle brackets, spans and emoji.
export function inline(text, names, open = '') {
  const out = [];
  let run = '';
  const flush = () => { if (run) out.push(decode(run)); run = ''; };
  for (let i = 0; i < text.length;) {
    const piece = pieceAt(text, i, names, open);
    if (piece) {
      flush();
      out.push(piece.node);
      i += piece.length;
    } else {
      run += text[i++];
    }
  }
  flush();
  return out;
}

function pieceAt(text, i, names, open) {
  switch (text[i]) {
    case '`': return codeAt(text, i);
    case '<': return tokenAt(text, i, names);
    case ':': return emojiAt(text, i);
    case 'h': return bareURLAt(text, i);
    default: return text[i] in SPAN_TAGS ? spanAt(text, i, names, open) : null;
  }
}

function codeAt(text, i) {
  const end = text.indexOf('`', i + 1);
  if (end <= i + 1) return null;
  return { node: h('code', null, codeText(text.slice(i + 1, end))), length: end + 1 - i };
}

// spanAt finds *bold*, _italic_ or ~strike~: the marks must hug the words and
// stand at their edges, so that snake_case and 2*3 stay as they are. open holds
// the marks around it: a mark inside itself is text, which also bounds the
// depth for hostile input.
function spanAt(text, i, names, open) {
  const mark = text[i];
  if (open.includes(mark) || (i > 0 && WORD.test(text[i - 1]))) return null;
  if (!text[i + 1] || /\s/.test(text[i + 1]) || text[i + 1] === mark) return null;
  const end = closingMark(text, i);
  if (end < 0) return null;
  return { node: h(SPAN_TAGS[mark], null, inline(text.slice(i + 1, end), names, open + mark)), length: end + 1 - i };
}

// closingMark finds the end of the span that starts at i, stepping over code
// and tokens; -1 when there is none near.
function closingMark(text, i) {
  const near = text.slice(i, i + SPAN_MAX);
  for (let j = 1; j < near.length; j++) {
    const closer = { '`': '`', '<': '>' }[near[j]];
    const jump = closer ? near.indexOf(closer, j + 1) : -1;
    if (jump > 0) j = jump;
    else if (near[j] === near[0] && j > 1 && !/\s/.test(near[j - 1]) && !WORD.test(near[j + 1] ?? '')) return i + j;
  }
  return -1;
}

function emojiAt(text, i) {
  const m = text.slice(i, i + 60).match(/^:([a-z0-9_+'-]+(?:::skin-tone-\d)?):/);
  const char = m && emojiOf(m[1]);
  return char ? { node: emojiNode(m[1], char), length: m[0].length } : null;
}

export function emojiNode(name, char) {
  return h('span', { class: 'emoji', role: 'img', 'aria-label': `${name.replaceAll('_', ' ')} emoji`, title: `:${name}:` }, char);
}

function withEmoji(text) {
  const out = [];
  let run = '';
  for (let i = 0; i < text.length;) {
    const piece = text[i] === ':' ? emojiAt(text, i) : null;
    if (piece) {
      out.push(run, piece.node);
      run = '';
      i += piece.length;
    } else {
      run += text[i++];
    }
  }
  return [...out, run];
}

function bareURLAt(text, i) {
  if (i > 0 && WORD.test(text[i - 1])) return null;
  const m = text.slice(i).match(BARE_URL);
  if (!m) return null;
  const address = m[0].replace(/[.,;:!?)*_~']+$/, '');
  return { node: link(decode(address), decode(address)), length: address.length };
}

function tokenAt(text, i, names) {
  const m = text.slice(i).match(/^<([^<>\n]+)>/);
  if (!m) return null;
  const [target, label] = cut(m[1], '|');
  const node = token(target, label && decode(label), names);
  return node && { node, length: m[0].length };
}

function cut(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

// token is null for what is no token of Slack's: then it stays as it was typed.
function token(target, label, names) {
  switch (target[0]) {
    case '@': return mention(`@${names.user(target.slice(1)) || label || target.slice(1)}`, target.slice(1) === names.me?.());
    case '#': return mention(`#${names.channel(target.slice(1)) || label || target.slice(1)}`);
    case '!': return special(target.slice(1), label, names);
    default: return safeURL(decode(target)) ? link(decode(target), label || decode(target).replace(/^mailto:/, '')) : null;
  }
}

function special(target, label, names) {
  if (['here', 'channel', 'everyone'].includes(target)) return mention(`@${target}`, true);
  const [kind, id, ...rest] = target.split('^');
  if (kind === 'subteam') return mention(`@${(names.group(id) || label || id).replace(/^@/, '')}`, names.inGroup?.(id));
  if (kind === 'date') return dateNode(Number(id), rest[0] ?? '', decode(rest.slice(1).join('^')), label);
  return h('span', null, label || target);
}

export function mention(text, me = false) {
  return h('span', { class: me ? 'mention me' : 'mention' }, text);
}

// dateNode shows the time in the reader's zone and the fallback on hover.
export function dateNode(unix, format, address, fallback) {
  const date = new Date(unix * 1000);
  if (!Number.isFinite(unix) || Number.isNaN(date.getTime())) return h('span', null, fallback);
  const node = h('time', { datetime: date.toISOString(), title: fallback || date.toISOString() }, formatDate(date, format) || fallback);
  return address ? link(address, node) : node;
}

// link makes an anchor, or plain text when the address may not be followed.
export function link(address, label) {
  const url = safeURL(address);
  if (!url) return h('span', { class: 'not-a-link' }, label);
  return h('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow' }, label);
}
