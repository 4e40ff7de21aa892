// Block Kit's interactive elements.

import { h, icon, safeURL } from './dom.js';
import { plain } from './mrkdwn.js';
import { confirmDialog } from './dialogs.js';

const ELEMENTS = {
  button,
  image: (e, _block, host) => h('img', { class: 'e-image', src: safeURL(e.image_url ?? '', ['http:', 'https:']) || host.fileURL(e.slack_file ?? {}) || null, alt: e.alt_text ?? '' }),
  icon_button: (e, block, host) => pressable(e, block, host, { class: 'icon-button', content: [icon('close'), h('span', null, plain(e.text))] }),
  plain_text_input: textInput,
  static_select: select,
  radio_buttons: (e, block, host, id) => choices('radio', e, block, host, id),
  checkboxes: (e, block, host, id) => choices('checkbox', e, block, host, id),
  overflow,
};

// element renders one element of a block; id is for the label of an input.
export function element(e, block, host, id) {
  const render = Object.hasOwn(ELEMENTS, e?.type) ? ELEMENTS[e.type] : unknown;
  return render(e, block, host, id);
}

function unknown(e) {
  return h('span', { class: 'b-unknown', role: 'note' }, `This page cannot show an element of type “${e?.type ?? 'none'}”.`);
}

function button(e, block, host) {
  const address = e.url && safeURL(e.url);
  const style = ['primary', 'danger'].includes(e.style) ? e.style : '';
  return pressable(e, block, host, { class: `button ${style}`.trim(), content: [plain(e.text)], then: () => address && window.open(address, '_blank', 'noopener') });
}

// pressable makes a button that asks for confirmation when the element says
// so, then stays disabled until the bot has answered: two presses of an
// impatient finger are one.
export function pressable(e, block, host, { content, then, ...props }) {
  const node = h('button', {
    type: 'button', ...props, dataset: { action: e.action_id ?? '' }, 'aria-label': e.accessibility_label,
    on: { click: () => press(node, e, block, host, then) },
  }, content);
  return node;
}

async function press(node, e, block, host, then) {
  if (node.disabled || (e.confirm && !await confirmDialog(e.confirm, host.names))) return;
  then?.();
  unmark(node);
  node.disabled = true;
  node.setAttribute('aria-busy', 'true');
  try {
    const answer = await host.press(actionOf(e, block, e.value === undefined ? {} : { value: e.value }));
    if (!answer?.ok) mark(node);
  } finally {
    node.disabled = false;
    node.removeAttribute('aria-busy');
  }
}

// mark puts a warning sign after a button whose press the app did not take.
function mark(node) {
  node.after(h('span', { class: 'press-failed', role: 'alert' }, icon('alert'), 'No answer. Press again.'));
}

function unmark(node) {
  if (node.nextElementSibling?.classList.contains('press-failed')) node.nextElementSibling.remove();
}

// actionOf is the part of a block_actions payload that names what was pressed.
function actionOf(e, block, state) {
  return { type: e.type, action_id: e.action_id ?? '', block_id: block.block_id ?? '', element: e, ...state };
}

function textInput(e, _block, _host, id) {
  const props = {
    id, class: 'text-input', placeholder: e.placeholder?.text, maxlength: e.max_length, minlength: e.min_length,
    dataset: { input: e.action_id ?? '' }, autofocus: e.focus_on_load,
  };
  const node = e.multiline ? h('textarea', { ...props, rows: 4 }) : h('input', { ...props, type: 'text', autocomplete: 'off' });
  node.value = e.initial_value ?? '';
  node.readState = () => ({ type: e.type, value: node.value || null });
  return node;
}

function select(e, block, host, id) {
  const options = e.options ?? (e.option_groups ?? []).flatMap((g) => g.options);
  const node = h('select', { id, class: 'select', 'aria-label': id ? null : e.placeholder?.text ?? 'Choose', dataset: { input: e.action_id ?? '' } },
    h('option', { value: '' }, e.placeholder?.text ?? 'Choose'),
    options.map((o, i) => h('option', { value: String(i), selected: o.value === e.initial_option?.value }, plain(o.text))));
  node.readState = () => ({ type: e.type, selected_option: options[Number(node.value || -1)] ?? null });
  if (!id) node.addEventListener('change', () => host.press(actionOf(e, block, node.readState())));
  return node;
}

function choices(kind, e, block, host, id) {
  const name = id ?? `choice-${block.block_id}-${e.action_id}`;
  const initial = kind === 'radio' ? [e.initial_option?.value] : (e.initial_options ?? []).map((o) => o.value);
  const boxes = e.options.map((o) => h('input', { type: kind, name, checked: initial.includes(o.value) }));
  const picked = () => e.options.filter((_, i) => boxes[i].checked);
  const node = h('div', { class: 'choices', role: kind === 'radio' ? 'radiogroup' : 'group', 'aria-labelledby': id && `${id}-label`, dataset: { input: e.action_id ?? '' } },
    e.options.map((o, i) => h('label', null, boxes[i], h('span', null, plain(o.text)))));
  node.readState = () => (kind === 'radio' ? { type: e.type, selected_option: picked()[0] ?? null } : { type: e.type, selected_options: picked() });
  if (!id) node.addEventListener('change', () => host.press(actionOf(e, block, node.readState())));
  return node;
}

function overflow(e, block, host) {
  const menu = h('details', { class: 'overflow' },
    h('summary', { class: 'button', 'aria-label': 'More actions' }, icon('more')),
    h('div', { class: 'overflow-menu', role: 'menu' }, e.options.map((o) => h('button', {
      type: 'button', role: 'menuitem',
      on: { click: () => { menu.open = false; host.press(actionOf(e, block, { selected_option: o })); } },
    }, plain(o.text)))));
  return menu;
}
