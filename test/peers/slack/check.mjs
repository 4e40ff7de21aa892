// Runs @slack/bolt, Slack's own Node client, against the Slack stand-in.
//
//   node check.mjs http://127.0.0.1:PORT
//
// The app is bolt; the people are pages of the stand-in (see protocol.go in
// internal/standin/slack). POST /demo/disconnect?reason=R on the server makes
// it send a disconnect. Prints a line per step; exit status 1 at the first
// step that fails.
import bolt from '@slack/bolt';
import WebSocket from 'ws';

const base = process.argv[2];
if (!base) {
  console.error('usage: node check.mjs http://127.0.0.1:PORT');
  process.exit(2);
}
const channel = 'C0OPS';

// A Person is a page of one user: what it sends, and all frames that it got.
class Person {
  constructor(user) {
    this.frames = [];
    this.waiting = [];
    this.socket = new WebSocket(`${base.replace('http', 'ws')}/page/ws?user=${user}`);
    this.socket.on('message', (data) => {
      this.frames.push(JSON.parse(data));
      this.waiting.forEach((look) => look());
    });
  }
  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }
  // The first frame, seen or to come, that the condition holds for.
  frame(what, condition) {
    return within(what, (found) => {
      const look = () => {
        const f = this.frames.find(condition);
        if (f) found(f);
      };
      this.waiting.push(look);
      look();
    });
  }
}

function within(what, start, seconds = 15) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000);
    start((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

function expect(what, got, want) {
  if (got !== want) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  console.log(`ok - ${what}`);
}

// heard resolves calls of a bolt listener one after the other.
function listener() {
  const calls = [];
  let wake = () => {};
  return {
    heard: (value) => {
      calls.push(value);
      wake();
    },
    next: (what) =>
      within(what, (found) => {
        wake = () => calls.length && found(calls.shift());
        wake();
      }),
  };
}

const app = new bolt.App({
  token: 'xoxb-demo-bot-token',
  appToken: 'xapp-1-demo-app-token',
  socketMode: true,
  logLevel: 'error',
  clientOptions: { slackApiUrl: `${base}/api/` },
});
const errors = [];
app.error(async (e) => errors.push(e));

const approve = {
  type: 'button', action_id: 'rem.approve', value: 'p1:hash', style: 'primary',
  text: { type: 'plain_text', text: 'Approve' },
};
const blocks = [
  { type: 'section', text: { type: 'mrkdwn', text: 'Approval *needed*' } },
  { type: 'actions', block_id: 'plan.1', elements: [approve] },
];
const modal = {
  type: 'modal', callback_id: 'why', title: { type: 'plain_text', text: 'Why?' }, submit: { type: 'plain_text', text: 'Send' },
  blocks: [{
    type: 'input', block_id: 'reason', label: { type: 'plain_text', text: 'Reason' },
    element: { type: 'plain_text_input', action_id: 'text' },
  }],
};

const messages = listener(), presses = listener(), commands = listener(), submissions = listener(), mentions = listener();
app.message('network issue', async ({ event, say }) => {
  const posted = await say({ text: 'Approval needed', blocks, thread_ts: event.ts });
  messages.heard({ event, posted });
});
app.event('app_mention', async ({ event }) => mentions.heard(event));
app.action('rem.approve', async ({ ack, body, client, respond }) => {
  await ack();
  await client.chat.update({ channel, ts: body.message.ts, text: 'Approved', blocks: [{ ...blocks[0], block_id: 'plan.2' }] });
  await client.chat.postEphemeral({ channel, user: body.user.id, text: 'Thank you' });
  await respond({ text: 'Also here', replace_original: false });
  await client.views.open({ trigger_id: body.trigger_id, view: modal });
  presses.heard(body);
});
app.command('/hopwise', async ({ ack, command, respond }) => {
  await ack({ text: 'On it' });
  await respond({ text: 'Done', response_type: 'in_channel' });
  commands.heard(command);
});
app.view('why', async ({ ack, view }) => {
  await ack();
  submissions.heard(view);
});

async function conversation(ana, bo) {
  await app.start();
  await ana.frame('the app connects', (f) => f.type === 'bot' && f.connections === 1);
  console.log('ok - connect');

  ana.send({ type: 'say', channel, text: 'network issue at <db> & cart' });
  const { event, posted } = await messages.next('a message');
  expect('message text is escaped', event.text, 'network issue at &lt;db&gt; &amp; cart');
  const shown = await bo.frame('the answer', (f) => f.type === 'message' && f.message.ts === posted.ts);
  expect('answer is in the thread', shown.message.thread_ts, event.ts);

  ana.send({ type: 'say', channel, text: '@hopwise help' });
  expect('mention', (await mentions.next('a mention')).text, '<@UBOT> help');

  bo.send({ type: 'press', re: 'p', channel, ts: posted.ts, block_id: 'plan.1', action_id: 'rem.approve', value: 'p1:hash' });
  const press = await presses.next('a press');
  expect('press carries the value', press.actions[0].value, 'p1:hash');
  expect('press names the person', press.user.id, 'UBO');
  expect('press is acknowledged', (await bo.frame('the end of the press', (f) => f.type === 'pressed')).ok, true);
  const changed = await ana.frame('the update', (f) => f.type === 'message_changed' && f.message.ts === posted.ts);
  expect('update is shown', changed.message.text, 'Approved');
  await bo.frame('the ephemeral message', (f) => f.type === 'ephemeral' && f.message.text === 'Thank you');
  await bo.frame('the response', (f) => f.type === 'ephemeral' && f.message.text === 'Also here');
  expect('ephemeral stays with its person', ana.frames.some((f) => f.type === 'ephemeral'), false);

  const { view } = await bo.frame('the modal', (f) => f.type === 'view');
  const values = { reason: { text: { type: 'plain_text_input', value: 'because' } } };
  bo.send({ type: 'submit_view', view_id: view.id, values });
  expect('modal values', (await submissions.next('a submission')).state.values.reason.text.value, 'because');
  const closed = await bo.frame('the modal closes', (f) => f.type === 'view_close');
  expect('modal closes', closed.view_ids[0], view.id);

  ana.send({ type: 'command', channel, command: '/hopwise', text: 'help' });
  expect('command text', (await commands.next('a command')).text, 'help');
  await ana.frame('the answer to the command', (f) => f.type === 'ephemeral' && f.message.text === 'On it');
  await bo.frame('the response to the command', (f) => f.type === 'message' && f.message.text === 'Done');

  await reconnect(ana);
  const bad = await app.client.chat.postMessage({ channel, text: 'x', blocks: [{ type: 'header' }] }).catch((e) => e.data);
  expect('bad blocks are refused', bad.error, 'invalid_blocks');
}

// reconnect makes the server end the socket, and talks over the new one.
async function reconnect(ana) {
  for (const reason of ['warning', 'refresh_requested']) {
    const seen = ana.frames.length;
    await fetch(`${base}/demo/disconnect?reason=${reason}`, { method: 'POST' });
    await ana.frame(`a socket after ${reason}`, (f) => f.type === 'bot' && f.connections === 1 && ana.frames.indexOf(f) >= seen);
    ana.send({ type: 'say', channel, text: `network issue after ${reason}` });
    const { event } = await messages.next(`a message after ${reason}`);
    expect(`message after ${reason}`, event.text, `network issue after ${reason}`);
  }
}

try {
  const ana = new Person('UANA'), bo = new Person('UBO');
  await ana.frame('state', (f) => f.type === 'state');
  await bo.frame('state', (f) => f.type === 'state');
  await conversation(ana, bo);
  if (errors.length) throw errors[0];
  const stopped = Date.now();
  await app.stop();
  expect('close frame is answered', Date.now() - stopped < 5000, true);
  process.exit(0);
} catch (e) {
  console.error('not ok -', e);
  process.exit(1);
}
