// What a program has written, as nodes of a page: its colours become classes, and whatever a reader could not see, or would
// see in another order than it is stored, is shown as what it is. Nothing here is ever taken for markup.
const SGR = /\x1b\[([0-9;]{0,60})m/;
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;
const STYLES = { 1: "ts-bold", 2: "ts-faintly", 3: "ts-italic", 4: "ts-underlined", 9: "ts-struck" };
const ENDS = { 21: [1], 22: [1, 2], 23: [3], 24: [4], 29: [9] };

function name(character) {
  return `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// The state after the numbers of one sequence (ECMA-48, SGR). Colours of a palette beyond the sixteen keep the text plain.
function after(state, numbers) {
  const next = { styles: new Set(state.styles), fg: state.fg, bg: state.bg };
  for (let at = 0; at < numbers.length; at += 1) {
    const number = numbers[at];
    if (number === 0) { next.styles.clear(); next.fg = next.bg = null; }
    else if (STYLES[number]) next.styles.add(number);
    else if (ENDS[number]) ENDS[number].forEach((style) => next.styles.delete(style));
    else if (number >= 30 && number <= 37) next.fg = number - 30;
    else if (number >= 90 && number <= 97) next.fg = number - 82;
    else if (number >= 40 && number <= 47) next.bg = number - 40;
    else if (number >= 100 && number <= 107) next.bg = number - 92;
    else if (number === 39) next.fg = null;
    else if (number === 49) next.bg = null;
    else if (number === 38 || number === 48) {
      const palette = numbers[at + 1] === 5;
      const color = palette && numbers[at + 2] < 16 ? numbers[at + 2] : null;
      if (number === 38) next.fg = color; else next.bg = color;
      at += palette ? 2 : 4;
    }
  }
  return next;
}

function classOf(state) {
  const names = [...state.styles].map((style) => STYLES[style]);
  if (state.bg !== null) names.push(`ts-bg-${state.bg}`);
  else if (state.fg !== null) names.push(`ts-fg-${state.fg}`);
  return names.join(" ");
}

// The text of a line in pieces of one look each: [class, text].
function pieces(line) {
  const found = [];
  let state = { styles: new Set(), fg: null, bg: null };
  let rest = line;
  for (let match = SGR.exec(rest); match; match = SGR.exec(rest)) {
    if (match.index) found.push([classOf(state), rest.slice(0, match.index)]);
    state = after(state, match[1].split(";").map(Number));
    rest = rest.slice(match.index + match[0].length);
  }
  if (rest) found.push([classOf(state), rest]);
  return found;
}

// A piece with what is looked for marked, in capital or small letters.
function* marked(text, term) {
  let rest = text;
  while (term) {
    const at = rest.toLowerCase().indexOf(term.toLowerCase());
    if (at < 0) break;
    if (at) yield [false, rest.slice(0, at)];
    yield [true, rest.slice(at, at + term.length)];
    rest = rest.slice(at + term.length);
  }
  if (rest) yield [false, rest];
}

function* shown(text) {
  let rest = text;
  for (let match = UNSEEN.exec(rest); match; match = UNSEEN.exec(rest)) {
    if (match.index) yield rest.slice(0, match.index);
    yield element("span", "ts-unseen", name(match[0]));
    rest = rest.slice(match.index + match[0].length);
  }
  if (rest) yield rest;
}

export function plain(line) {
  let text = line;
  for (let match = SGR.exec(text); match; match = SGR.exec(text)) text = text.replace(match[0], "");
  return text;
}

export function nodes(line, term) {
  return pieces(line.replace(/\r$/, "")).map(([className, text]) => {
    const span = element("span", className);
    for (const [isMatch, part] of marked(text, term)) {
      const place = isMatch ? span.appendChild(element("mark")) : span;
      place.append(...shown(part));
    }
    return span;
  });
}

export { element };
