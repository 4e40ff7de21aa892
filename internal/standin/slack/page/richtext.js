// rich_text blocks: sections, lists, quotes and preformatted text. Their texts
// are literal: no mrkdwn is read in them.

import { h } from './dom.js';
import { dateNode, emojiNode, link, mention } from './mrkdwn.js';
import { emojiOf } from './emoji.js';

const CONTAINERS = {
  rich_text_section: (e, names) => h('div', { class: 'rt-section' }, leaves(e, names)),
  rich_text_quote: (e, names) => h('blockquote', null, leaves(e, names)),
  rich_text_preformatted: (e, names) => h('pre', { class: 'code-block', tabindex: '0' }, h('code', null, leaves(e, names))),
  rich_text_list: (e, names) => h(e.style === 'ordered' ? 'ol' : 'ul', { class: `indent-${Math.min(e.indent || 0, 8)}`, start: e.offset ? e.offset + 1 : null },
    e.elements.map((item) => h('li', null, leaves(item, names)))),
};

const LEAVES = {
  text: (e) => h('span', { class: 'rt-text' }, e.text),
  link: (e) => link(e.url, e.text || e.url),
  user: (e, names) => mention(`@${names.user(e.user_id) || e.user_id}`, e.user_id === names.me?.()),
  channel: (e, names) => mention(`#${names.channel(e.channel_id) || e.channel_id}`),
  usergroup: (e, names) => mention(`@${names.group(e.usergroup_id) || e.usergroup_id}`),
  broadcast: (e) => mention(`@${e.range}`, true),
  emoji: (e) => (emojiOf(e.name) ? emojiNode(e.name, emojiOf(e.name)) : h('span', null, `:${e.name}:`)),
  date: (e) => dateNode(e.timestamp, e.format ?? '{date}', e.url, e.fallback ?? ''),
  color: (e) => h('code', null, e.value),
};

const STYLES = { bold: 'strong', italic: 'em', strike: 's', code: 'code' };

// richText renders a rich_text block or table cell.
export function richText(block, names) {
  return (block.elements ?? []).map((e) => (Object.hasOwn(CONTAINERS, e.type)
    ? CONTAINERS[e.type](e, names)
    : h('div', { class: 'b-unknown', role: 'note' }, `This page cannot show “${e.type}”.`)));
}

function leaves(container, names) {
  return (container.elements ?? []).map((e) => {
    const node = Object.hasOwn(LEAVES, e.type) ? LEAVES[e.type](e, names) : h('span', { class: 'b-unknown' }, `(${e.type})`);
    return styled(node, e.style ?? {});
  });
}

function styled(node, style) {
  return Object.entries(STYLES).reduce((inner, [name, tag]) => (style[name] ? h(tag, null, inner) : inner), node);
}
