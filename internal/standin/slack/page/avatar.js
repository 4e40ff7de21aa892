// Faces and names of people.

import { h, icon } from './dom.js';

// Degrees of hue, all readable under white letters at the lightness of style.css.
const HUES = [8, 338, 95, 145, 60, 315, 222, 35, 172, 255, 305];

function hueOf(id) {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + char.codePointAt(0)) % 65_521;
  return HUES[sum % HUES.length];
}

// avatar is a square with a person's initials; the app has its own mark.
export function avatar(user, { isApp = false, small = false } = {}) {
  const classes = ['avatar', isApp && 'app', small && 'small'].filter(Boolean).join(' ');
  return h('span', { class: classes, 'aria-hidden': 'true', style: { '--hue': hueOf(user?.id ?? '?') } },
    isApp ? icon('hop') : initials(nameOf(user)));
}

export function nameOf(user) {
  return user?.real_name || user?.name || 'Unknown';
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((w) => [...w][0].toUpperCase()).join('');
}
