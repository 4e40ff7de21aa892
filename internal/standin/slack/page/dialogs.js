// Small windows above the page: confirm dialogs, questions and toasts.

import { h, icon } from './dom.js';
import { plain, textObject } from './mrkdwn.js';

const TOAST_MS = 7000;

// confirmDialog asks what a button's confirm object says; resolves to the answer.
export function confirmDialog(confirm, names) {
  return new Promise((resolve) => {
    const style = confirm.style === 'danger' ? 'danger' : 'primary';
    const dialog = h('dialog', { class: 'dialog confirm', 'aria-labelledby': 'confirm-title', 'aria-describedby': 'confirm-text' },
      h('h2', { id: 'confirm-title' }, plain(confirm.title)),
      h('div', { id: 'confirm-text', class: 'mrkdwn' }, textObject(confirm.text, names)),
      h('div', { class: 'dialog-actions' },
        h('button', { type: 'button', class: 'button', on: { click: () => dialog.close('no') } }, plain(confirm.deny ?? 'Cancel')),
        h('button', { type: 'button', class: `button ${style}`, dataset: { confirm: 'yes' }, on: { click: () => dialog.close('yes') } }, plain(confirm.confirm ?? 'Yes'))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// toast shows a sentence for a few seconds; pressing its cross removes it.
export function toast(sentence) {
  const node = h('div', { class: 'toast' }, h('span', null, sentence),
    h('button', { type: 'button', 'aria-label': 'Dismiss', on: { click: () => node.remove() } }, icon('close')));
  document.getElementById('toasts').append(node);
  setTimeout(() => node.remove(), TOAST_MS);
}

// askText asks for a text, with old as its start; resolves to "" for a cancel.
export function askText(title, old, yes) {
  return new Promise((resolve) => {
    const field = h('textarea', { class: 'text-input', rows: 4, 'aria-labelledby': 'ask-title' });
    field.value = old;
    const dialog = h('dialog', { class: 'dialog confirm', 'aria-labelledby': 'ask-title' },
      h('h2', { id: 'ask-title' }, title), field,
      h('div', { class: 'dialog-actions' },
        h('button', { type: 'button', class: 'button', on: { click: () => dialog.close('no') } }, 'Cancel'),
        h('button', { type: 'button', class: 'button primary', on: { click: () => dialog.close('yes') } }, yes)));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes' ? field.value.trim() : '');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
