// What a person does on the page, as requests to the server.

import { nameOf } from './avatar.js';
import { typed } from './mrkdwn.js';
import { askText, confirmDialog, toast } from './dialogs.js';

const SUGGESTED = 8; // at most

export class Requests {
  // onCommand() is called when a slash command went out, changed() when the
  // store was changed here.
  constructor(store, connection, names, { onCommand, changed }) {
    Object.assign(this, { store, connection, names, onCommand, changed });
  }

  // hostOf is what the blocks of a message need (see blockkit.js).
  hostOf(m) {
    return { names: this.names, fileURL, press: (action) => this.press({ channel: m.channel, ts: m.ts }, action) };
  }

  // press reports a press and waits until the bot has taken it. A press that it
  // did not take gets a sign at its button; the reason, if there is one, comes as
  // an error frame.
  async press(where, action) {
    const value = action.value ?? action.selected_option?.value ?? '';
    const answer = await this.connection.ask({ type: 'press', ...where, block_id: action.block_id, action_id: action.action_id, value });
    if (answer.type === 'error') toast(answer.message || answer.error);
    return answer;
  }

  // closeView asks for a modal to be closed; without a connection it just goes.
  closeView(view) {
    if (this.connection.send({ type: 'close_view', view_id: view })) return;
    this.store.apply({ type: 'view_close', view_ids: [view] });
    this.changed();
  }

  // post sends what was typed; it returns false when the text should stay.
  post(text, channel, thread = '') {
    const command = text.match(/^(\/\S+)\s*([\s\S]*)$/);
    if (command) return this.#runCommand(channel, command[1], command[2], thread);
    return online(this.connection.send({ type: 'say', channel, thread_ts: thread, text }));
  }

  #runCommand(channel, command, text, thread) {
    if (!this.store.workspace.commands.some((c) => c.command === command)) {
      toast(`${command} is not a command of this workspace.`);
      return false;
    }
    if (thread) {
      toast(`${command} does not work in threads: Slack offers commands in channels only.`);
      return false;
    }
    this.onCommand();
    return online(this.connection.send({ type: 'command', channel, command, text }));
  }

  async edit(m) {
    const old = typed(m.text, this.store);
    const text = await askText('Edit message', old, 'Save');
    if (text && text !== old) this.connection.send({ type: 'edit', channel: m.channel, ts: m.ts, text });
  }

  async remove(m) {
    const plain = (text) => ({ type: 'plain_text', text });
    const sure = await confirmDialog({ title: plain('Delete message'), text: plain('Are you sure? This cannot be undone.'), confirm: plain('Delete'), deny: plain('Cancel'), style: 'danger' }, this.names);
    if (sure) this.connection.send({ type: 'delete', channel: m.channel, ts: m.ts });
  }

  // suggestions completes a command at the start and people anywhere.
  suggestions(word, atStart) {
    const list = word[0] === '/'
      ? (atStart ? this.store.workspace.commands : []).map((c) => ({ insert: c.command, label: c.command, hint: [c.usage_hint, c.description].filter(Boolean).join(' · ') }))
      : [...this.store.users.values()].map((u) => ({ insert: `@${u.name}`, label: `@${u.name}`, hint: nameOf(u) }));
    const start = word.toLowerCase();
    return list.filter((s) => s.insert.startsWith(start) && s.insert !== start).slice(0, SUGGESTED);
  }
}

// fileURL is the address of a slack_file: only ever on this server.
export function fileURL(file) {
  if (file?.id) return `files/${encodeURIComponent(file.id)}`;
  const url = file?.url && URL.canParse(file.url, location.href) ? new URL(file.url, location.href) : null;
  return url?.origin === location.origin ? url.href : '';
}

function online(sent) {
  if (!sent) toast('Not connected: the message was not sent. It stays in the box.');
  return sent;
}
