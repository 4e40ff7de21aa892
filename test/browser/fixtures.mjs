// A workspace as the server would send it: one whole incident, and messages
// that try to break the page.

const md = (text) => ({ type: 'mrkdwn', text });
const pt = (text) => ({ type: 'plain_text', text });
const cells = (...texts) => texts.map((text) => ({ type: 'raw_text', text }));
const button = (action_id, text, more = {}) => ({ type: 'button', action_id, text: pt(text), value: 'v', ...more });
const section = (text, more = {}) => ({ type: 'section', text: md(text), ...more });
const context = (...texts) => ({ type: 'context', elements: texts.map(md) });

export const START = 1795392000; // Unix time of the first message

let sequence = 0;

export function message(user, seconds, more) {
  sequence += 1;
  return {
    ts: `${START + seconds}.${String(sequence).padStart(6, '0')}`, channel: 'C0INC', user, text: '', blocks: null, attachments: null, thread_ts: '', broadcast: false,
    reply_count: 0, reply_users: [], latest_reply: '', edits: 0, edited: false, ephemeral: false, reactions: [], files: [], ...more,
  };
}

const progress = [
  section(':white_check_mark: *Checked* `checkout` → `payments-db:5432`  ·  eks `prod-eu-1`\n:white_check_mark: DNS: `payments-db.prod.svc` → 10.0.3.14\n:white_check_mark: Endpoints: 2 of 2 ready\n:x: Security groups: blocked\n:grey_question: Network ACLs: could not check'),
  context(`Read-only · started <!date^${START}^{time_secs}|12:00:00 UTC> because <@UANA> wrote "network issue" · run \`7f3a\``),
];

const report = [
  { type: 'header', text: pt('Cause: sg-0db blocks TCP 5432 from node group ng-2') },
  section(`Pods on \`ng-2\` cannot reach \`payments-db\` (10.0.3.14). The rule for 5432 was removed at <!date^${START - 1200}^{time}|11:40 UTC> by \`ci-deployer\`. Pods on \`ng-1\` still connect.`),
  { type: 'section', fields: [md('*Impact*\n6 of 9 `checkout` pods'), md('*Confidence*\nHigh (3 independent checks agree)'), md('*Ruled out*\nDNS, NACL, node pressure'), md('*Changed by bot*\nNothing')] },
  { type: 'table', column_settings: [{ is_wrapped: true }, { align: 'left' }, { align: 'right' }], rows: [cells('Check', 'Result', 'Time'), cells('TCP 5432 from ng-1', 'connects', '3 ms'), cells('TCP 5432 from ng-2', 'times out', '5000 ms')] },
  { type: 'container', title: pt('Evidence: 5 checks, 3 API calls'), is_collapsible: true, default_collapsed: true, child_blocks: [section('```$ nc -vz -w5 10.0.3.14 5432\nnc: timed out (&lt;no reply&gt;)```'), { type: 'divider' }, context('ec2:DescribeSecurityGroupRules')] },
  { type: 'actions', block_id: 'act', elements: [button('run.evidence', 'Show evidence'), button('run.runbook', 'Runbook', { url: 'https://runbooks.example.com/sg-5432' })] },
  { type: 'context_actions', block_id: 'fb', elements: [{ type: 'feedback_buttons', action_id: 'run.feedback', positive_button: { text: pt('Right cause'), value: 'yes' }, negative_button: { text: pt('Wrong cause'), value: 'no' } }] },
];

const proposal = [
  section(':lock: *Approval needed* · put back the rule removed at 11:40'),
  section('```+ ingress sg-0db tcp 5432-5432 from sg-0aa (ng-2)```'),
  { type: 'section', fields: [md('*Touches*\n1 security group, 1 rule'), md('*Undo*\nRemove rule `sgr-new` (one click after)'), md('*Dry run*\nPassed, `DryRunOperation`'), md(`*Expires*\n<!date^${START + 1200}^{time}|12:20 UTC>`)] },
  { type: 'actions', block_id: 'req', elements: [
    button('rem.approve', 'Approve', { style: 'primary', value: 'req-91c:4be1', accessibility_label: 'Approve adding one security group rule', confirm: { title: pt('Add this rule in prod?'), text: md('Allows TCP 5432 from `sg-0aa` to `sg-0db` in prod-eu-1. Your name is recorded.'), confirm: pt('Add rule'), deny: pt('Back') } }),
    button('rem.reject', 'Reject'), button('rem.details', 'Details')] },
  context('Can approve: <!subteam^S0NETOPS> (not the person who asked) · request `91c` · plan `4be1`'),
];

const verdict = [
  { type: 'header', text: pt('Fixed and checked') },
  section('`checkout` reaches `payments-db` from both node groups. Watched for 60 s after the change.'),
  { type: 'table', rows: [cells('Check', 'Before', 'After'), cells('TCP 5432 from ng-2', 'times out', 'connects, 3 ms'), cells('checkout pods ready', '3 of 9', '9 of 9')] },
  { type: 'actions', block_id: 'undo', elements: [button('rem.undo', 'Undo', { style: 'danger' })] },
  context('Applied by the bot for <@UBO> · `sgr-0ff` · run `7f3a`'),
];

const alert = message('U0ALERT', -1500, { username: 'Alertmanager', text: 'fallback', attachments: [{ color: 'danger', title: 'TargetDown: checkout (6 of 9)', title_link: 'https://alerts.example.com/1', text: '6 of 9 targets are down for *5 minutes*.', fields: [{ title: 'Severity', value: 'page' }, { title: 'Cluster', value: 'prod-eu-1' }] }] });
const root = message('UANA', 0, { text: 'network issue', reply_count: 3, reply_users: ['UBOT', 'UBO'], latest_reply: `${START + 9}.000000`, reactions: [{ name: 'eyes', users: ['UBOT'], count: 1 }] });
root.thread_ts = root.ts;
const chat = [
  message('UBO', -900, { text: 'Anybody else seeing checkout time out?' }),
  message('UBO', -890, { text: 'It started around <!date^1795390800^{time}|11:40>, see <https://status.example.com|the status page> :point_right:' }),
  message('UANA', -600, { text: 'Yes, *every* second request. I will ask <@UBOT>.', edited: true, edits: 1 }),
];
const inThread = (user, seconds, more) => message(user, seconds, { thread_ts: root.ts, ...more });

export const ROOT = root.ts;
export const ephemeral = () => inThread('UBOT', 30, { ephemeral: true, blocks: [section(':no_entry: You can\'t approve request `91c`. It needs someone in netops other than the requester. Nothing was done.')] });
export const verdictMessage = () => inThread('UBOT', 40, { text: 'Fixed', blocks: verdict });

// controls has the elements that the incident does not use.
export const controls = () => message('UBOT', 220, { text: 'controls', blocks: [
  { type: 'image', title: pt('Failed connections'), slack_file: { id: 'F0PLOT' }, alt_text: 'Failed connections per minute' },
  { type: 'actions', block_id: 'c', elements: [
    { type: 'static_select', action_id: 'layer', placeholder: pt('Pick a layer'), options: [{ text: pt('DNS'), value: 'dns' }, { text: pt('L7'), value: 'l7' }] },
    { type: 'overflow', action_id: 'more', options: [{ text: pt('Copy'), value: 'copy' }] },
    button('lost', 'Nobody hears this')] },
  { type: 'alert', level: 'warning', text: md('*Read-only* until a policy names somebody') },
] });

// hostile are texts that must be shown as they are and never run.
export const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
export const hostile = () => [
  message('UEVE', 60, { text: HOSTILE }),
  message('UEVE', 61, { text: '<javascript:window.hacked=1|click me> <data:text/html,x|data> "><svg onload=window.hacked=1>' }),
  message('UEVE', 62, { text: `*${'a'.repeat(300)}* _x_y_ snake_case_name 2*3*4 ~gone~ \`<b>code</b>\` :no_such_emoji: :tada: &amp;lt; &lt;b&gt;` }),
  message('UEVE', 63, { text: '&gt; a quote\n&gt; of two lines\n• one\n• two\n1. first\n2. second\n```pre <b>\n  two```\n<!here> <#C0OPS> <@UANA> <@UNKNOWN|someone>' }),
  message('UEVE', 64, { text: `${'*_~'.repeat(12_000)}` }),
  message('UBOT', 65, { text: 'blocks', blocks: [
    { type: 'header', text: pt(HOSTILE) }, section(HOSTILE, { fields: [md(HOSTILE)], accessory: { type: 'no_such_element' } }), { type: '__proto__' }, { type: 'constructor' }, { type: 'sparkline' }, null, { type: 'table' },
    { type: 'table', rows: [cells('A', HOSTILE), [{ type: 'rich_text', elements: [{ type: 'rich_text_section', elements: [{ type: 'text', text: HOSTILE, style: { bold: true } }, { type: 'link', url: 'javascript:window.hacked=1', text: 'link' }] }] }, { type: 'raw_text', text: 'x'.repeat(200) }]] },
    { type: 'image', image_url: 'javascript:window.hacked=1', alt_text: HOSTILE }, context(HOSTILE),
    { type: 'actions', block_id: 'h', elements: [button('x', HOSTILE.slice(0, 70), { url: 'javascript:window.hacked=1' })] },
    { type: 'rich_text', elements: [{ type: 'rich_text_list', style: 'bullet', elements: [{ type: 'rich_text_section', elements: [{ type: 'text', text: '*literal*' }, { type: 'emoji', name: 'tada' }] }] }, { type: 'rich_text_preformatted', elements: [{ type: 'text', text: '<pre>' }] }, { type: 'constructor' }] },
  ] }),
];

export const evidenceView = {
  id: 'V1', hash: '1', view: { type: 'modal', title: pt('Evidence'), close: pt('Done'), blocks: [
    { type: 'header', text: pt('Security groups') }, section('`sg-0db` has no rule for TCP 5432 from `sg-0aa`.'), section('```aws ec2 describe-security-group-rules \\\n  --filters Name=group-id,Values=sg-0db```'), { type: 'divider' }, context('Read at 12:00:04 · 3 calls')] },
};
export const formView = {
  id: 'V2', hash: '1', view: { type: 'modal', title: pt('Reject request 91c'), submit: pt('Reject'), close: pt('Back'), blocks: [
    section('The person who asked sees your reason.'),
    { type: 'input', block_id: 'why', label: pt('Reason'), hint: pt('One sentence is enough.'), element: { type: 'plain_text_input', action_id: 'text', multiline: true, placeholder: pt('We are in a freeze') } },
    { type: 'input', block_id: 'when', optional: true, label: pt('Try again'), element: { type: 'static_select', action_id: 'pick', placeholder: pt('When'), options: [{ text: pt('Tomorrow'), value: '1' }, { text: pt('Never'), value: '2' }] } }] },
};

// state is the first frame for a user.
export function state(me, more = []) {
  const thread = [inThread('UBOT', 1, { text: 'Checked', blocks: progress }), inThread('UBOT', 5, { text: 'Cause found', blocks: report }), inThread('UBOT', 9, { text: 'Approval needed', blocks: proposal })];
  return {
    type: 'state', me, bot: 1, views: [],
    workspace: { id: 'T0DEMO', name: 'Hopwise Demo', domain: 'hopwise-demo', app_id: 'A0HOPWISE', bot_user: 'UBOT', commands: [{ command: '/hopwise', description: 'Diagnose a network problem', usage_hint: 'what is wrong | help' }] },
    users: [person('UANA', 'ana', 'Ana Silva', 'asker'), person('UBO', 'bo', 'Bo Chen', 'approver'), person('UGIL', 'gil', 'Gil Roth', 'guest', { is_guest: true }),
      person('UEVE', 'eve', 'Eve Stone', 'other workspace', { is_other_team: true }), person('UBOT', 'hopwise', 'Hopwise', '', { is_bot: true, can_switch: false }), person('U0ALERT', 'alerts', 'Alerts', '', { is_bot: true, can_switch: false })],
    groups: [{ id: 'S0NETOPS', handle: 'netops', name: 'Network operations', users: ['UBO'] }],
    channels: [place('C0INC', 'incidents', 'What is broken right now'), place('C0OPS', 'ops', 'Day to day'), place('C0RAND', 'random', '', { has_bot: false }), place('G0WAR', 'war-room', '', { is_private: true }),
      place('C0ARCH', 'archive', '', { is_archived: true }), place('D0ANA', 'Hopwise', '', { is_im: true })],
    messages: { C0INC: [alert, ...chat, root, ...thread, ...more] },
  };
}

function person(id, name, real_name, title, more = {}) {
  return { id, name, real_name, title, team_id: 'T0DEMO', is_bot: false, is_guest: false, is_other_team: false, can_switch: true, ...more };
}

function place(id, name, topic, more = {}) {
  return { id, name, topic, is_im: false, is_private: false, is_archived: false, has_bot: true, ...more };
}
