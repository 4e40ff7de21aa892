// Times as Slack shows them, in the reader's own zone.

const DAY = 86_400_000;

function format(options) {
  return (date) => new Intl.DateTimeFormat(undefined, options).format(date);
}

const TOKENS = {
  '{date_num}': (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`,
  '{date}': format({ dateStyle: 'long' }),
  '{date_slash}': format({ dateStyle: 'short' }),
  '{date_long}': format({ dateStyle: 'full' }),
  '{date_short}': format({ dateStyle: 'medium' }),
  '{date_pretty}': (d) => relativeDay(d) || TOKENS['{date}'](d),
  '{date_short_pretty}': (d) => relativeDay(d) || TOKENS['{date_short}'](d),
  '{date_long_pretty}': (d) => relativeDay(d) || TOKENS['{date_long}'](d),
  '{day_divider_pretty}': (d) => dayTitle(d),
  '{time}': format({ timeStyle: 'short' }),
  '{time_secs}': format({ timeStyle: 'medium' }),
  '{ago}': (d) => ago(d),
};

function two(n) {
  return String(n).padStart(2, '0');
}

// formatDate fills Slack's date tokens; the text between them stays.
export function formatDate(date, pattern) {
  return pattern.replace(/\{[a-z_]+\}/g, (t) => TOKENS[t]?.(date) ?? t);
}

function relativeDay(date) {
  const days = Math.round((startOfDay(date) - startOfDay(new Date())) / DAY);
  return { 0: 'today', '-1': 'yesterday', 1: 'tomorrow' }[days] ?? '';
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

// dayTitle is the text of the line between two days of messages.
export function dayTitle(date) {
  const word = relativeDay(date);
  if (word) return word[0].toUpperCase() + word.slice(1);
  return new Intl.DateTimeFormat(undefined, { weekday: 'long', month: 'long', day: 'numeric' }).format(date);
}

export function dayKey(date) {
  return TOKENS['{date_num}'](date);
}

export const clock = TOKENS['{time}'];
export const clockWithSeconds = format({ dateStyle: 'medium', timeStyle: 'medium' });

// ago says how long before now a time was, in words.
export function ago(date) {
  const seconds = Math.round((date.getTime() - Date.now()) / 1000);
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
  for (const [unit, size] of [['day', 86400], ['hour', 3600], ['minute', 60]]) {
    if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  }
  return 'just now';
}

// fromTS reads a message's ts, which is Unix seconds with a sequence number.
export function fromTS(ts) {
  return new Date(parseFloat(ts) * 1000);
}
