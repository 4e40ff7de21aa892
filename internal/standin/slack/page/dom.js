// Building DOM nodes. Strings always become text nodes and attribute values
// are set by name, so nothing in this page ever parses a string as HTML.

const SVG = 'http://www.w3.org/2000/svg';

// h makes an element. Props: class, dataset, style (an object of custom
// properties), on (an object of listeners), booleans, and plain attributes.
// Children: nodes, strings, numbers, arrays of them; null and false are skipped.
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProp(node, name, value);
  append(node, children);
  return node;
}

function setProp(node, name, value) {
  if (value == null || value === false) return;
  if (name === 'on') {
    for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  } else if (name === 'dataset') {
    Object.assign(node.dataset, value);
  } else if (name === 'style') {
    for (const [property, v] of Object.entries(value)) node.style.setProperty(property, v);
  } else {
    node.setAttribute(name, value === true ? '' : String(value));
  }
}

export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child == null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

const ICONS = {
  hash: 'M10 3 8 21M16 3l-2 18M4 8.5h17M3 15.5h17',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  reply: 'M4 5h16v11H10l-5 4v-4H4z',
  close: 'M5 5l14 14M19 5 5 19',
  send: 'M3.5 20.5 21 12 3.5 3.5 6 12zM6 12h8',
  'down-arrow': 'M12 5v14M6 13l6 6 6-6',
  menu: 'M4 6h16M4 12h16M4 18h16',
  back: 'M15 4l-8 8 8 8',
  up: 'M7 11v9H4v-9zM7 11l4-8c1.7 0 2.6 1 2.3 2.6L12.8 9H18c1.5 0 2.4 1.2 2 2.6l-1.8 6.7c-.3 1-1 1.7-2.1 1.7H7',
  down: 'M17 13V4h3v9zM17 13l-4 8c-1.7 0-2.6-1-2.3-2.6l.5-3.4H6c-1.5 0-2.4-1.2-2-2.6l1.8-6.7C6.1 4.7 6.8 4 7.9 4H17',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6',
  reset: 'M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5',
  person: 'M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8M4.5 20.5c.6-4 3.5-6 7.5-6s6.900 2 7.5 6',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  clip: 'M19 11l-7.5 7.5a4.5 4.5 0 0 1-6.5-6.5L13 4a3 3 0 0 1 4.5 4.5L9.5 16a1.5 1.5 0 0 1-2-2L14.5 7',
  hop: 'M3 16.5c1.6-8 6.9-8 9 0 2.1-8 7.4-8 9 0M3 17h.01M12 17h.01M21 17h.01',
  edit: 'M4 20l1-4.5L16.5 4l3.5 3.5L8.5 19zM14 6.5l3.5 3.5',
  trash: 'M4.5 6.5h15M9 6V3.5h6V6M6.5 6.5l1 14h9l1-14',
  alert: 'M12 4 2.5 20h19zM12 10v4.5M12 17.3h.01',
};

// icon draws one of the line icons; it is hidden from screen readers, so the
// control around it needs a label of its own.
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [k, v] of Object.entries({ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' })) svg.setAttribute(k, v);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

// safeURL returns the address when a link may point there, otherwise "".
export function safeURL(address, schemes = ['http:', 'https:', 'mailto:']) {
  try {
    const url = new URL(address);
    return schemes.includes(url.protocol) ? url.href : '';
  } catch {
    return '';
  }
}
