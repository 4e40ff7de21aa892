// The message box: Enter sends, Shift+Enter starts a new line, a slash at the
// start is a command, and both / and @ offer what fits.

import { h, icon } from './dom.js';

const LONGEST = 40_000; // characters that Slack takes

export class Composer {
  #drafts = new Map();
  #place = '';
  #picked = 0;

  // send(text) posts; suggestions(word, atStart) lists {insert, label, hint}.
  constructor(box, { send, suggestions, label }) {
    Object.assign(this, { send, suggestions });
    this.field = h('textarea', {
      rows: 1, 'aria-label': label, placeholder: label, maxlength: LONGEST, enterkeyhint: 'send', spellcheck: 'true',
      'aria-autocomplete': 'list', 'aria-haspopup': 'listbox', 'aria-controls': `${box.id}-suggestions`,
      on: { keydown: (e) => this.#key(e), input: () => this.#changed(), blur: () => setTimeout(() => this.#close(), 150) },
    });
    this.button = h('button', { type: 'button', class: 'send', 'aria-label': 'Send', disabled: true, on: { click: () => this.#submit() } }, icon('send'));
    this.list = h('ul', { class: 'suggestions', role: 'listbox', id: `${box.id}-suggestions`, 'aria-label': 'Suggestions', hidden: true });
    box.replaceChildren(this.list, h('div', { class: 'composer' }, this.field, this.button));
  }

  // at moves the box to another place, with the draft that was left there.
  at(place, label) {
    this.field.placeholder = label;
    this.field.setAttribute('aria-label', label);
    if (place === this.#place) return;
    this.#drafts.set(this.#place, this.field.value);
    this.#place = place;
    this.set(this.#drafts.get(place) ?? '');
  }

  set(text) {
    this.field.value = text;
    this.#changed();
  }

  focus() {
    this.field.focus();
  }

  #submit() {
    const text = this.field.value.trim();
    if (text && this.send(text)) this.set('');
    this.focus();
  }

  #changed() {
    this.field.style.height = 'auto';
    this.field.style.height = `${Math.min(this.field.scrollHeight, 160)}px`;
    this.button.disabled = this.field.value.trim() === '';
    this.#suggest();
  }

  #key(event) {
    if (event.isComposing) return;
    if (!this.list.hidden && this.#keyInList(event)) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    }
  }

  #keyInList(event) {
    const count = this.list.children.length;
    switch (event.key) {
      case 'ArrowDown': this.#mark((this.#picked + 1) % count); break;
      case 'ArrowUp': this.#mark((this.#picked + count - 1) % count); break;
      case 'Tab': case 'Enter': this.list.children[this.#picked].click(); break;
      case 'Escape': this.#close(); break;
      default: return false;
    }
    event.preventDefault();
    return true;
  }

  // word is what stands before the cursor, back to the last space.
  #word() {
    const before = this.field.value.slice(0, this.field.selectionStart);
    const word = before.match(/[@/][\w.-]*$/)?.[0] ?? '';
    const start = before.length - word.length;
    return { word, start, free: start === 0 || /\s/.test(before[start - 1]) };
  }

  #suggest() {
    const { word, start, free } = this.#word();
    const found = word && free && document.activeElement === this.field ? this.suggestions(word, start === 0) : [];
    if (!found.length) return this.#close();
    this.list.replaceChildren(...found.map((s, i) => h('li', { role: 'option', id: `${this.list.id}-${i}`, on: { mousedown: (e) => e.preventDefault(), click: () => this.#insert(s.insert) } },
      h('b', null, s.label), h('span', null, s.hint))));
    this.list.hidden = false;
    return this.#mark(0);
  }

  #mark(index) {
    this.#picked = index;
    [...this.list.children].forEach((item, i) => item.setAttribute('aria-selected', String(i === index)));
    this.field.setAttribute('aria-activedescendant', `${this.list.id}-${index}`);
  }

  #insert(text) {
    const { word, start } = this.#word();
    this.field.setRangeText(`${text} `, start, start + word.length, 'end');
    this.#close();
    this.focus();
    this.#changed();
  }

  #close() {
    this.list.hidden = true;
    this.field.removeAttribute('aria-activedescendant');
  }
}
