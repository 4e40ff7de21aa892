// Modals: the views that the app opens above the page.

import { h, icon } from './dom.js';
import { plain } from './mrkdwn.js';
import { blocks } from './blockkit.js';
import { toast } from './dialogs.js';

// Modals shows the top view of the stack.
//
// host is as in blockkit.js, without press; actions has press(viewID, action),
// submit(viewID, values) -> promise of a frame, close(viewID).
export class Modals {
  #dialog = null;
  #shown = { id: '', hash: '' };

  constructor(host, actions) {
    Object.assign(this, { host, actions });
  }

  // show draws the last view of the list, or nothing.
  show(views) {
    const top = views.at(-1);
    if (!top) return this.#hide();
    if (top.id === this.#shown.id && top.hash === this.#shown.hash) return undefined;
    const kept = top.id === this.#shown.id ? readValues(this.#dialog) : {};
    this.#shown = { id: top.id, hash: top.hash };
    return this.#draw(top, kept);
  }

  // errors shows the app's complaints at their inputs.
  errors(errors) {
    this.#busy(false);
    for (const [block, sentence] of Object.entries(errors)) this.#complain(block, sentence);
    this.#dialog?.querySelector('[aria-invalid]')?.focus();
  }

  #hide() {
    this.#shown = { id: '', hash: '' };
    const dialog = this.#dialog;
    this.#dialog = null;
    dialog?.close();
    dialog?.remove();
  }

  #draw(top, kept) {
    const form = this.#form(top);
    if (!this.#dialog) {
      this.#dialog = h('dialog', { class: 'dialog modal', 'aria-labelledby': 'modal-title' });
      this.#dialog.addEventListener('cancel', (event) => {
        event.preventDefault();
        this.actions.close(this.#shown.id);
      });
      const dialog = this.#dialog; // a second Escape closes it whatever the page says
      dialog.addEventListener('close', () => { if (this.#dialog === dialog) this.actions.close(this.#shown.id); });
      document.body.append(this.#dialog);
    }
    this.#dialog.replaceChildren(form);
    restoreValues(this.#dialog, kept);
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #form({ id, view }) {
    const host = { ...this.host, press: (action) => this.actions.press(id, action) };
    const hasInputs = (view.blocks ?? []).some((b) => b.type === 'input');
    const submit = view.submit || (hasInputs ? { type: 'plain_text', text: 'Submit' } : null);
    const close = () => this.actions.close(id);
    return h('form', { method: 'dialog', novalidate: true, on: { submit: (event) => { event.preventDefault(); this.#submit(id); } } },
      h('header', { class: 'dialog-head' },
        h('h2', { id: 'modal-title' }, plain(view.title ?? '')),
        h('button', { type: 'button', class: 'icon-only', 'aria-label': 'Close', on: { click: close } }, icon('close'))),
      h('div', { class: 'dialog-body', tabindex: '0' }, blocks(view.blocks, host)),
      h('footer', { class: 'dialog-actions' },
        h('button', { type: 'button', class: 'button', on: { click: close } }, plain(view.close ?? 'Close')),
        submit && h('button', { type: 'submit', class: 'button primary' }, plain(submit))));
  }

  // submit keeps the button busy until the app closes or changes the view,
  // or until an error comes back.
  async #submit(id) {
    this.#clearComplaints();
    if (this.#missing()) return;
    this.#busy(true);
    const answer = await this.actions.submit(id, readValues(this.#dialog));
    if (this.#shown.id !== id || !this.#isBusy()) return;
    this.#busy(false);
    if (answer.type === 'error') toast(answer.message);
  }

  // missing complains at required inputs that are empty.
  #missing() {
    let any = false;
    for (const block of this.#dialog.querySelectorAll('.b-input:not([data-optional=yes])')) {
      const state = block.querySelector('[data-input]')?.readState?.() ?? {};
      const value = state.value ?? state.selected_option ?? (state.selected_options?.length || null);
      if (value !== null && value !== undefined) continue;
      this.#complain(block.dataset.block, 'Please complete this required field.');
      any = true;
    }
    return any;
  }

  #complain(block, sentence) {
    const node = this.#dialog?.querySelector(`.b-input[data-block="${CSS.escape(block)}"]`);
    if (!node) return toast(sentence);
    node.querySelector('[data-input]')?.setAttribute('aria-invalid', 'true');
    const line = node.querySelector('.b-error');
    line.textContent = sentence;
    line.hidden = false;
    return undefined;
  }

  #clearComplaints() {
    for (const line of this.#dialog.querySelectorAll('.b-error')) line.hidden = true;
    for (const node of this.#dialog.querySelectorAll('[aria-invalid]')) node.removeAttribute('aria-invalid');
  }

  #busy(busy) {
    const button = this.#dialog?.querySelector('button[type=submit]');
    if (button) button.disabled = busy;
  }

  #isBusy() {
    return Boolean(this.#dialog?.querySelector('button[type=submit]')?.disabled);
  }
}

// readValues collects a view's state.values: block id -> action id -> state.
function readValues(dialog) {
  const values = {};
  for (const node of dialog.querySelectorAll('[data-input]')) {
    const block = node.closest('[data-block]')?.dataset.block ?? '';
    values[block] = { ...values[block], [node.dataset.input]: node.readState() };
  }
  return values;
}

// restoreValues keeps what was typed when the app updates a view, for inputs
// with the same ids, as Slack does.
function restoreValues(dialog, values) {
  for (const node of dialog.querySelectorAll('input[data-input], textarea[data-input]')) {
    const old = values[node.closest('[data-block]')?.dataset.block]?.[node.dataset.input];
    if (typeof old?.value === 'string') node.value = old.value;
  }
}
