// The bar of the demo: which trouble the world is in, who is looking, what to
// type. It belongs to the demo and not to Slack, and looks like that.

import { h, icon } from './dom.js';
import { avatar, nameOf } from './avatar.js';
import { toast } from './dialogs.js';

const PHRASES = ['network issue', 'connectivity', 'DNS failure', 'ALB returns 502'];

export class DemoBar {
  #scenarios = []; // empty: not known yet; null: the server has none to choose from
  #current = '';
  #busy = false;

  // on: say(text), switchUser(id), reloaded() after the world has changed.
  constructor(box, on) {
    Object.assign(this, { box, on });
    this.select = h('select', { 'aria-label': 'Scenario', on: { change: () => this.#choose(this.select.value) } });
    this.reset = h('button', { type: 'button', class: 'demo-button', title: 'Put the world and the workspace back to the start', on: { click: () => this.#post('reset', {}) } }, icon('reset'), h('span', null, 'Reset'));
    this.title = h('p', { class: 'scenario-title' });
    this.people = h('div', { class: 'people', role: 'radiogroup', 'aria-label': 'Look at the workspace as' });
    this.chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Phrases to try' });
    this.hint = h('p', { class: 'hint', role: 'status' });
    this.world = h('div', { class: 'world' }, h('span', { class: 'demo-label' }, 'Scenario'), this.select, this.reset);
    box.replaceChildren(
      h('div', { class: 'demo-row' }, h('span', { class: 'brand' }, icon('hop'), h('b', null, 'Hopwise'), h('span', null, 'demo')),
        this.world, h('div', { class: 'viewer' }, h('span', { class: 'demo-label' }, 'You are'), this.people)),
      h('div', { class: 'demo-row second' }, this.title, this.chips),
      this.hint);
    this.#drawWorld();
    this.#drawChips();
  }

  // load asks the server for the scenarios; without them the bar has no choice.
  async load() {
    try {
      const response = await fetch('demo/scenarios', { headers: { Accept: 'application/json' } });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const { current, scenarios } = await response.json();
      this.#scenarios = scenarios ?? [];
      this.#current = current;
    } catch {
      this.#scenarios = null;
    }
    this.#drawWorld();
    this.#drawChips();
  }

  // show draws who may be looked as, and what to try next.
  show(store, hint) {
    if (this.hint.textContent !== hint) this.hint.textContent = hint;
    const people = [...store.users.values()].filter((u) => u.can_switch);
    const key = JSON.stringify([store.me, people]);
    if (key === this.people.dataset.key) return;
    this.people.dataset.key = key;
    const hadFocus = this.people.contains(document.activeElement);
    this.people.replaceChildren(...people.map((u) => this.#person(u, store)));
    const chosen = this.people.querySelector('[aria-checked=true]');
    chosen?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    if (hadFocus) chosen?.focus();
  }

  #person(user, store) {
    const me = user.id === store.me;
    const handles = [...store.groups.values()].filter((g) => g.users.includes(user.id)).map((g) => g.handle);
    const role = [user.title, ...handles].filter(Boolean).join(', ');
    return h('button', {
      type: 'button', role: 'radio', 'aria-checked': String(me), tabindex: me ? '0' : '-1', dataset: { user: user.id }, title: `${nameOf(user)} (${role})`,
      on: { click: () => this.on.switchUser(user.id), keydown: (e) => this.#arrow(e) },
    }, avatar(user, { small: true }), h('span', null, h('b', null, nameOf(user).split(' ')[0]), role && h('span', { class: 'role' }, ` (${role})`)));
  }

  // arrow moves the choice as in any group of radio buttons.
  #arrow(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...this.people.children];
    const next = all[(all.indexOf(event.currentTarget) + step + all.length) % all.length];
    next.focus();
    this.on.switchUser(next.dataset.user);
  }

  #drawWorld() {
    const list = this.#scenarios;
    this.world.hidden = !list;
    const now = list?.find((s) => s.name === this.#current);
    this.title.textContent = now?.title ?? '';
    this.title.title = now?.title ?? '';
    this.select.disabled = this.#busy || !list?.length;
    this.select.replaceChildren(...(list ?? []).map((s) => h('option', { value: s.name, selected: s.name === this.#current }, s.name)));
    if (list?.length === 0) this.select.append(h('option', null, 'reading the list…'));
  }

  #drawChips() {
    const own = this.#scenarios?.find((s) => s.name === this.#current)?.ask;
    const phrases = [...new Set([own, ...PHRASES].filter(Boolean))];
    this.chips.replaceChildren(h('span', { class: 'demo-label' }, 'Try'), ...phrases.map((text) => h('button', {
      type: 'button', class: text === own ? 'chip own' : 'chip', title: text === own ? 'The question of this scenario' : null, on: { click: () => this.on.say(text) },
    }, text)));
  }

  #choose(name) {
    return this.#post('scenario', { name });
  }

  async #post(what, body) {
    if (this.#busy) return;
    this.#setBusy(true);
    try {
      const response = await fetch(`demo/${what}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
      if (!response.ok) throw new Error((await response.text()).slice(0, 200) || `status ${response.status}`);
      await this.load();
      this.on.reloaded();
    } catch (err) {
      toast(`The world was not changed: ${err.message}`);
    }
    this.#setBusy(false);
  }

  #setBusy(busy) {
    this.#busy = busy;
    this.reset.disabled = busy;
    this.#drawWorld();
  }
}
