// What a visitor may try next, read off what is on the screen.

// hint returns one sentence. messages are those of the open thread, oldest
// first; none when no thread is open.
export function hint(store, messages) {
  if (store.bot === 0) return 'The bot is not connected yet. It reconnects by itself.';
  const buttons = buttonsIn(messages);
  const has = (action, test = () => true) => buttons.some((b) => b.action_id === action && test(b));
  if (has('rem.approve', (b) => b.style !== 'danger')) return approval(store.users.get(store.me), messages[0].user);
  if (messages.some((m) => isApp(store, m) && hasTable(m, 'After'))) {
    return `Compare before and after.${has('rem.approve') ? ' Undo takes the change back.' : ''} Reload the page, it is all still there; or choose another scenario.`;
  }
  if (has('rem.propose')) return 'The report offers a fix. Press it to see the exact change and who may approve it.';
  if (messages.some((m) => isApp(store, m))) return 'The bot answers in this thread. Reply “retry” or “stop”, or open the evidence.';
  return 'Type “network issue” in #incidents, or press one of the phrases.';
}

function approval(me, asker) {
  const name = (me?.real_name ?? '').split(' ')[0];
  const tryIt = 'press Approve to be refused, then switch to the approver.';
  if (me?.is_guest) return `${name} is a guest, and guests may not approve: ${tryIt}`;
  if (me?.is_other_team) return `${name} belongs to another workspace and may not approve: ${tryIt}`;
  if (!/approver/.test(me?.title ?? '')) return `A fix waits for approval. ${name} is not among those who may give it: ${tryIt}`;
  if (me.id === asker) return `A fix waits for approval. ${name} asked for it, and who asks may not approve a disruptive change: press Approve and see.`;
  return `${name} may approve: press Approve, read the exact change, confirm. Then watch before and after.`;
}

function isApp(store, message) {
  return message.user === store.workspace.bot_user && !message.ephemeral;
}

function buttonsIn(messages) {
  return messages.flatMap((m) => (m.blocks ?? []).flatMap((b) => b.elements ?? [])).filter((e) => e.type === 'button');
}

function hasTable(message, column) {
  return (message.blocks ?? []).some((b) => b.type === 'table' && (b.rows?.[0] ?? []).some((c) => c.text === column));
}
