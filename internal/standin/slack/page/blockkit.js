// Block Kit to DOM nodes. Every block type that is not known here becomes a
// visible placeholder: a message never loses a part without a sign.
//
// host is what a block needs from the page around it:
//   names                    what ids are called (see mrkdwn.js)
//   fileURL(file)            address of a slack_file, "" when unknown
//   press(action, element)   promise, settled when the bot has answered

import { h, icon, safeURL } from './dom.js';
import { plain, textObject } from './mrkdwn.js';
import { element, pressable } from './elements.js';
import { richText } from './richtext.js';

const RENDERERS = {
  section, header, context, divider, actions, image, table, input, container, alert,
  context_actions: contextActions,
  rich_text: (block, host) => h('div', { class: 'b-rich' }, richText(block, host.names)),
};

// blocks renders a list of blocks.
export function blocks(list, host) {
  const out = document.createDocumentFragment();
  for (const block of Array.isArray(list) ? list : []) out.append(renderBlock(block, host));
  return out;
}

function renderBlock(block, host) {
  const render = Object.hasOwn(RENDERERS, block?.type) ? RENDERERS[block.type] : unknown;
  try {
    const node = render(block, host);
    node.dataset.block = block?.block_id ?? '';
    return node;
  } catch (err) {
    console.warn('block not rendered:', block?.type, err);
    return unknown(block, host);
  }
}

function unknown(block) {
  return h('div', { class: 'b-unknown', role: 'note' }, `This page cannot show a block of type “${block?.type ?? 'none'}”.`);
}

function section(block, host) {
  const body = h('div', { class: 'b-section-body' },
    block.text && h('div', { class: 'mrkdwn' }, textObject(block.text, host.names)),
    block.fields && h('div', { class: 'b-fields' }, block.fields.map((f) => h('div', { class: 'mrkdwn' }, textObject(f, host.names)))));
  return h('div', { class: 'b-section' }, body,
    block.accessory && h('div', { class: 'b-accessory' }, element(block.accessory, block, host)));
}

function header(block) {
  return h('h3', { class: 'b-header' }, plain(block.text));
}

function context(block, host) {
  return h('div', { class: 'b-context' }, block.elements.map((e) => (e.type === 'image'
    ? element(e, block, host)
    : h('span', { class: 'mrkdwn' }, textObject(e, host.names)))));
}

function divider() {
  return h('hr', { class: 'b-divider' });
}

function actions(block, host) {
  return h('div', { class: 'b-actions', role: 'group' }, block.elements.map((e) => element(e, block, host)));
}

function image(block, host) {
  const address = safeURL(block.image_url ?? '', ['http:', 'https:']) || host.fileURL(block.slack_file ?? {});
  const alt = block.alt_text ?? '';
  const caption = block.title && h('figcaption', null, plain(block.title));
  if (!address) return h('figure', { class: 'b-image' }, caption, missingImage(alt));
  const img = h('img', { src: address, alt, loading: 'lazy', on: { error: () => img.replaceWith(missingImage(alt)) } });
  return h('figure', { class: 'b-image' }, caption,
    h('a', { href: address, target: '_blank', rel: 'noopener noreferrer', 'aria-label': `Open image: ${alt}` }, img));
}

function missingImage(alt) {
  return h('div', { class: 'b-image-missing', role: 'img', 'aria-label': alt }, icon('eye'), h('span', null, alt || 'Image'));
}

// table shows the first row as column heads. It scrolls sideways in its own
// box, which is focusable so that a keyboard can scroll it too.
function table(block, host) {
  const [head = [], ...rows] = block.rows;
  const settings = block.column_settings ?? [];
  const cell = (tag) => (value, i) => h(tag, {
    scope: tag === 'th' ? 'col' : null,
    class: [`align-${settings[i]?.align || 'left'}`, settings[i]?.is_wrapped ? 'wrapped' : ''].join(' ').trim(),
  }, cellContent(value, host));
  return h('div', { class: 'b-table', role: 'region', tabindex: '0', 'aria-label': `Table: ${head.map((c) => c?.text ?? '').join(', ')}`.slice(0, 120) },
    h('table', null,
      h('thead', null, h('tr', null, head.map(cell('th')))),
      h('tbody', null, rows.map((row) => h('tr', null, row.map(cell('td')))))));
}

function cellContent(value, host) {
  if (value?.type === 'rich_text') return richText(value, host.names);
  if (value?.type === 'raw_number') return String(value.value ?? value.text ?? '');
  return String(value?.text ?? '');
}

let inputs = 0; // labels need ids that are unique on the page

function input(block, host) {
  const id = `input-${++inputs}`;
  const control = element(block.element, block, host, id);
  return h('div', { class: 'b-input', dataset: { optional: block.optional ? 'yes' : '' } },
    h('label', { for: id, id: `${id}-label` }, plain(block.label), block.optional && h('span', { class: 'optional' }, ' (optional)')),
    control,
    h('p', { class: 'b-error', role: 'alert', hidden: true }),
    block.hint && h('p', { class: 'b-hint' }, plain(block.hint)));
}

function container(block, host) {
  const body = h('div', { class: 'b-container-body' }, blocks(block.child_blocks, host));
  if (!block.is_collapsible) return h('section', { class: 'b-container' }, h('h4', null, plain(block.title)), body);
  return h('details', { class: 'b-container', open: !block.default_collapsed }, h('summary', null, plain(block.title)), body);
}

function alert(block, host) {
  return h('div', { class: 'b-alert', role: 'note', dataset: { level: block.level ?? 'default' } }, textObject(block.text, host.names));
}

function contextActions(block, host) {
  return h('div', { class: 'b-actions b-context-actions', role: 'group' }, block.elements.map((e) => (
    e.type === 'feedback_buttons' ? feedback(e, block, host) : element(e, block, host))));
}

// feedback is a pair of toggles: the last press counts.
function feedback(e, block, host) {
  const make = (button, shape) => pressable({ ...button, type: 'feedback_buttons', action_id: e.action_id }, block, host, {
    class: 'feedback', 'aria-pressed': 'false', content: [icon(shape), h('span', null, plain(button.text))],
  });
  const pair = [make(e.positive_button, 'up'), make(e.negative_button, 'down')];
  for (const button of pair) {
    button.addEventListener('click', () => pair.forEach((b) => b.setAttribute('aria-pressed', String(b === button))));
  }
  return h('span', { class: 'feedback-pair' }, pair);
}
